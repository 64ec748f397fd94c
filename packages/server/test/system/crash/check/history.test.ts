/**
 * The search for possible states accepts every correct result, and rejects lost, torn and invented writes.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Change,
  type Effect,
  type ImageState,
  listPossibleStates,
  type Outcome,
  stateKey,
} from './history.ts';

const BEFORE: ImageState = { digest: 'a', altText: 'one', disabled: false };
const DISABLED: ImageState = { ...BEFORE, disabled: true };

function createChange(
  effect: Effect,
  requestTime: number,
  answerTime?: number,
  outcome: Outcome = 'done',
): Change {
  return { effect, requestTime, ...(answerTime !== undefined && { answerTime, outcome }) };
}

function listKeys(initial: ImageState, ...changes: Change[]): string[] {
  return listPossibleStates(initial, changes).map(stateKey).sort();
}

const update = (digest: string, altText?: string): Effect => ({
  kind: 'update',
  digest,
  ...(altText !== undefined && { altText }),
});

describe('the possible states of an image', () => {
  test('without changes are the initial state', () => {
    assert.deepEqual(listKeys(BEFORE), [stateKey(BEFORE)]);
  });

  test('after an answered change are its result', () => {
    assert.deepEqual(listKeys(BEFORE, createChange(update('b'), 1, 2)), [
      stateKey({ ...BEFORE, digest: 'b' }),
    ]);
  });

  test('after a change without an answer are the states before and after it, but no half of it', () => {
    assert.deepEqual(listKeys(BEFORE, createChange(update('b', 'two'), 1)), [
      stateKey(BEFORE),
      stateKey({ digest: 'b', altText: 'two', disabled: false }),
    ]);
  });

  test('include no state from before an answered change', () => {
    const keys = listKeys(
      BEFORE,
      createChange(update('b'), 1, 2),
      createChange(update('c'), 3, 4),
      createChange(update('d'), 5),
    );
    assert.deepEqual(keys, [stateKey({ ...BEFORE, digest: 'c' }), stateKey({ ...BEFORE, digest: 'd' })]);
  });

  test('after two concurrent changes are the results of both orders', () => {
    const keys = listKeys(
      BEFORE,
      createChange(update('b', 'two'), 1, 3),
      createChange(update('c', 'three'), 2, 4),
    );
    assert.deepEqual(keys, [
      stateKey({ digest: 'b', altText: 'two', disabled: false }),
      stateKey({ digest: 'c', altText: 'three', disabled: false }),
    ]);
  });

  test('after a rejection are only states of a disabled image', () => {
    const rejection = createChange({ kind: 'update-metadata', altText: 'x' }, 1, 2, 'rejected');
    assert.deepEqual(listKeys(BEFORE, rejection), [], 'the image was never disabled');
    assert.deepEqual(listKeys(DISABLED, rejection), [stateKey(DISABLED)]);
    // Only the unanswered request to disable the image explains the rejection, so it happened.
    assert.deepEqual(listKeys(BEFORE, createChange({ kind: 'disable' }, 0), rejection), [stateKey(DISABLED)]);
  });

  test('after 200 consecutive changes are the result of the last one', () => {
    const changes = Array.from({ length: 200 }, (_, at) => createChange(update(`${at}`), at * 2, at * 2 + 1));
    assert.deepEqual(listKeys(BEFORE, ...changes), [stateKey({ ...BEFORE, digest: '199' })]);
  });
});
