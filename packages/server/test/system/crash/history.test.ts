/**
 * The judge must be just: it lets pass what may be, and nothing that a lost, torn or invented write would leave.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Change, type Effect, type ImageState, nameOf, possibleStates } from './history.ts';

const BEFORE: ImageState = { digest: 'a', altText: 'one', disabled: false };
const DISABLED: ImageState = { ...BEFORE, disabled: true };

function change(effect: Effect, asked: number, answered?: number, outcome?: 'done' | 'refused'): Change {
  return { effect, asked, ...(answered !== undefined && { answered, outcome: outcome ?? 'done' }) };
}

function names(initial: ImageState, ...changes: Change[]): string[] {
  return possibleStates(initial, changes).map(nameOf).sort();
}

const update = (digest: string, altText?: string): Effect => ({
  kind: 'update',
  digest,
  ...(altText !== undefined && { altText }),
});

describe('what an image may look like', () => {
  test('without changes is what it was', () => {
    assert.deepEqual(names(BEFORE), [nameOf(BEFORE)]);
  });

  test('after an answered change is only what that made of it', () => {
    assert.deepEqual(names(BEFORE, change(update('b'), 1, 2)), [nameOf({ ...BEFORE, digest: 'b' })]);
  });

  test('after a change without an answer is either, but never half of it', () => {
    assert.deepEqual(names(BEFORE, change(update('b', 'two'), 1)), [
      nameOf(BEFORE),
      nameOf({ digest: 'b', altText: 'two', disabled: false }),
    ]);
  });

  test('does not go back behind a change that was answered before the next was asked for', () => {
    const states = names(
      BEFORE,
      change(update('b'), 1, 2),
      change(update('c'), 3, 4),
      change(update('d'), 5),
    );
    assert.deepEqual(states, [nameOf({ ...BEFORE, digest: 'c' }), nameOf({ ...BEFORE, digest: 'd' })]);
  });

  test('after two changes at once is the outcome of either order', () => {
    const states = names(BEFORE, change(update('b', 'two'), 1, 3), change(update('c', 'three'), 2, 4));
    assert.deepEqual(states, [
      nameOf({ digest: 'b', altText: 'two', disabled: false }),
      nameOf({ digest: 'c', altText: 'three', disabled: false }),
    ]);
  });

  test('counts a refusal as having seen the image disabled', () => {
    const refused = change({ kind: 'describe', altText: 'x' }, 1, 2, 'refused');
    assert.deepEqual(names(BEFORE, refused), [], 'nobody disabled it');
    assert.deepEqual(names(DISABLED, refused), [nameOf(DISABLED)]);
    // Only a disabling that was cut off explains it: so that one happened.
    assert.deepEqual(names(BEFORE, change({ kind: 'disable' }, 0), refused), [nameOf(DISABLED)]);
  });

  test('is found among many changes one after the other', () => {
    const changes = Array.from({ length: 200 }, (_, at) => change(update(`${at}`), at * 2, at * 2 + 1));
    assert.deepEqual(names(BEFORE, ...changes), [nameOf({ ...BEFORE, digest: '199' })]);
  });
});
