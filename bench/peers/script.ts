/**
 * Request and reply between the bench and a script in a child process. Each message pair has a number.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface Script {
  /** Sends plain data and returns plain data. Rejects with the error of the script. */
  ask(question: unknown): Promise<unknown>;
  stop(): Promise<void>;
}

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** Starts a script of this folder. The script must call `answerQuestions`. */
export function startScript(name: string): Script {
  const child = fork(join(import.meta.dirname, name), { serialization: 'advanced' });
  const pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let count = 0;
  child.on('message', (message) => {
    const { id, value, error } = message as Reply;
    const question = pending.get(id);
    pending.delete(id);
    if (error === undefined) question?.resolve(value);
    else question?.reject(new Error(error));
  });
  child.on('exit', () => {
    for (const { reject } of pending.values()) reject(new Error(`${name} exited`));
  });
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        count += 1;
        pending.set(count, { resolve, reject });
        child.send({ id: count, question });
      }),
    async stop() {
      const exit = once(child, 'exit');
      child.kill();
      await exit;
    },
  };
}

/** Called by a script: answers questions concurrently. */
export function answerQuestions<Question>(answer: (question: Question) => Promise<unknown>): void {
  process.on('message', (message) => {
    const { id, question } = message as { id: number; question: Question };
    answer(question).then(
      (value) => process.send?.({ id, value }),
      (error: unknown) => process.send?.({ id, error: String(error) }),
    );
  });
}
