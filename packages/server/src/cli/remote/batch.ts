/**
 * One operation for many items: the number of parallel operations, the failures of single items, and the
 * failures of the whole run.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { isAppError } from '../../errors.ts';
import { CommandFailure, EXIT } from '../terminal/exit-codes.ts';

/** Every image was copied, but some as renditions instead of originals. */
export class RenditionsOnly extends CommandFailure {
  readonly exitCode = EXIT.renditions;
}

interface CopyResult {
  readonly kind?: 'original' | 're-encoded' | 'downscaled';
}

/** @throws RenditionsOnly with the number of renditions of each kind, if there are any. */
export function checkOriginals(results: readonly CopyResult[]): void {
  const count = (kind: CopyResult['kind']) => results.filter((result) => result.kind === kind).length;
  const [encodedCount, scaledCount] = [count('re-encoded'), count('downscaled')];
  if (encodedCount + scaledCount === 0) return;
  throw new RenditionsOnly(
    `the server did not give the originals of ${encodedCount + scaledCount} images: ` +
      `${encodedCount} re-encoded at full size, ${scaledCount} at the largest size of a public link. ` +
      'The largest size may be smaller than the original',
  );
}

const DEFAULT_PARALLEL = 4;
const MAX_PARALLEL = 32;

/** Adds the option `--parallel` to a command. */
export function addParallelOption(command: Command): Command {
  const parse = (text: string) => {
    const number = /^\d{1,3}$/.test(text) ? Number(text) : 0;
    if (number >= 1 && number <= MAX_PARALLEL) return number;
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_PARALLEL}.`);
  };
  const description = `most requests at once, 1 to ${MAX_PARALLEL}`;
  return command.option('--parallel <number>', description, parse, DEFAULT_PARALLEL);
}

/**
 * The message of a failure that concerns one item only.
 * @throws the error itself if it concerns all items: no answer, no access, rate limit, full disk, or an
 * interruption.
 */
export async function messageOfItemFailure(error: unknown): Promise<string> {
  if (isAppError(error, 'cancelled')) throw error;
  if (isAppError(error)) return error.message;
  const { isVitrineError, APIError, ResponseValidationError } = await import('@vitrine/client');
  const concernsItem =
    isVitrineError(error) && error instanceof APIError && ![401, 403, 429].includes(error.status);
  if (!concernsItem || error instanceof ResponseValidationError) throw error;
  return error.message;
}
