/**
 * Owns the conversation with a script in a process of its own: questions with numbers, answers with the same ones.
 * Refuses to know what is asked.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface Script {
  /** Plain data there and back. Throws what the script threw. */
  ask(question: unknown): Promise<unknown>;
  stop(): Promise<void>;
}

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** Starts a script that lies beside this file and calls `answerQuestions`. */
export function startScript(name: string): Script {
  const child = fork(join(import.meta.dirname, name), { serialization: 'advanced' });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let count = 0;
  child.on('message', (message) => {
    const { id, value, error } = message as Reply;
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(new Error(error));
  });
  child.on('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error(`${name} ended`));
  });
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        count += 1;
        waiting.set(count, { resolve, reject });
        child.send({ id: count, question });
      }),
    async stop() {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}

/** The script's side: answers every question, as many at once as are asked. */
export function answerQuestions<Question>(answer: (question: Question) => Promise<unknown>): void {
  process.on('message', (message) => {
    const { id, question } = message as { id: number; question: Question };
    answer(question).then(
      (value) => process.send?.({ id, value }),
      (error: unknown) => process.send?.({ id, error: String(error) }),
    );
  });
}
