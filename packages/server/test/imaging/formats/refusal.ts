/**
 * The reason with which the header walk refuses a file, for assertions.
 */
import assert from 'node:assert/strict';
import { Refusal } from '../../../src/imaging/formats/limits.ts';
import { walkPicture } from '../../../src/imaging/formats/walk.ts';

/** The message of the Refusal. Fails if the walk accepts the file or throws another error. */
export function refusal(file: Buffer): string {
  try {
    walkPicture(file);
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error.message;
  }
  assert.fail('the picture was accepted');
}
