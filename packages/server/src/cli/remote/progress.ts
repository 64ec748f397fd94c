/**
 * Owns how a long run shows itself: a bar on a terminal, plain lines elsewhere, nothing but JSON where that is asked for.
 * And how many things a run does at once. Refuses to know what is done.
 */
import { type Command, InvalidArgumentError } from 'commander';
import type { Surroundings } from '../admin/session.ts';
import { plain } from '../terminal/output.ts';
import { counting, startBar } from '../terminal/progress-bar.ts';

/** Some of what a run was to do was not done; it has said what. */
export class PartlyDone extends Error {}

/** All was done, but not all with originals. */
export class OnlyRenditions extends Error {
  /** @throws OnlyRenditions that says how many are what instead. */
  static check(results: readonly { readonly kind?: 'original' | 're-encoded' | 'downscaled' }[]): void {
    const number = (kind: string) => results.filter((result) => result.kind === kind).length;
    const [encoded, scaled] = [number('re-encoded'), number('downscaled')];
    if (encoded + scaled === 0) return;
    throw new OnlyRenditions(
      `the server did not give the originals of ${encoded + scaled} images: ${encoded} were re-encoded at their own size, ` +
        `${scaled} have the most pixels that a public link shows and may be downscaled`,
    );
  }
}

export interface Progress {
  /** One more is done. @param notable whether people want to know of it even where a bar stands for the rest. */
  done(line: string, notable?: boolean): void;
  end(): void;
}

/** @param total how many there will be. @param what they are, in the plural. */
export async function startProgress(
  surroundings: Surroundings,
  total: number,
  what: string,
  json: boolean,
): Promise<Progress> {
  const bar = await startBar(surroundings, total, counting(what));
  const { screen, isTerminal } = surroundings;
  return {
    done(line, notable = false) {
      bar.add(1);
      if (json) return;
      // The bar stands for what went well, where people look at both.
      if (notable || !screen.isTTY || !isTerminal) bar.tell(`${plain(line)}\n`);
    },
    end: () => bar.end(),
  };
}

/** How many things a run does at once, unless told. */
const PARALLEL = 4;
const MAX_PARALLEL = 32;

export function withParallel(command: Command): Command {
  const read = (text: string) => {
    const number = /^\d{1,3}$/.test(text) ? Number(text) : 0;
    if (number >= 1 && number <= MAX_PARALLEL) return number;
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_PARALLEL}.`);
  };
  return command.option('--parallel <number>', 'how many to do at once', read, PARALLEL);
}

/**
 * Does something with each, so many at once, in order of their beginning. The first failure lets what runs come to its end,
 * begins nothing more, and is thrown.
 */
export async function forEach<T>(
  items: Iterable<T>,
  parallel: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const failures: unknown[] = [];
  async function lane(): Promise<void> {
    for (let next = left.next(); !next.done && failures.length === 0; next = left.next()) {
      await work(next.value).catch((error: unknown) => failures.push(error));
    }
  }
  await Promise.all(Array.from({ length: parallel }, lane));
  if (failures.length > 0) throw failures[0];
}

/**
 * What is wrong with one of many, in a sentence; what is wrong with all of them (no server, no right, no disk) is thrown.
 */
export async function refusalOf(error: unknown): Promise<string> {
  const { isVitrineError, APIError, ResponseValidationError } = await import('@vitrine/client');
  const ownFault = isVitrineError(error) && error instanceof APIError && ![401, 403].includes(error.status);
  if (!ownFault || error instanceof ResponseValidationError || error.status === 429) throw error;
  return error.message;
}
