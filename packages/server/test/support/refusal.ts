/**
 * Owns how tests ask for the reason of a refusal. Refuses to know which reasons there are.
 */
import assert from 'node:assert/strict';
import { Refusal } from '../../src/imaging/formats/limits.ts';
import { walkPicture } from '../../src/imaging/formats/walk.ts';

/** Why the walk refuses the file; fails if it does not, or throws anything but a Refusal. */
export function refusal(file: Buffer): string {
  try {
    walkPicture(file);
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error.message;
  }
  assert.fail('the picture was accepted');
}
