/**
 * The names of options in error messages. The rules of accounts and keys name the fields of the API, and a
 * user of the command line knows only the options.
 */
import { AppError, isAppError } from '../../errors.ts';

/**
 * Runs `work`, and replaces the name of a field at the start of its error message.
 * @param flags the option of each field.
 * @throws the errors of `work`.
 */
export async function withFlagNames<T>(
  flags: Readonly<Record<string, string>>,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isAppError(error, 'invalid-request')) throw error;
    const [field = ''] = /^\w+/.exec(error.message) ?? [];
    const flag = Object.hasOwn(flags, field) ? flags[field] : undefined;
    if (flag === undefined) throw error;
    throw new AppError('invalid-request', flag + error.message.slice(field.length), { cause: error });
  }
}
