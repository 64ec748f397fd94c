import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Blindness, PictureHistory } from './freshness.ts';

const NEVER = Number.POSITIVE_INFINITY;

describe('a picture of a link', () => {
  test('ends when a later replace is acknowledged', () => {
    const history = new PictureHistory();
    history.finish(history.start('a', 0), 1);
    const b = history.start('b', 10);
    assert.equal(history.endOf('a', 15), NEVER);
    assert.equal(history.endOf('b', 15), NEVER, 'an unanswered replace may be visible');
    history.finish(b, 20);
    assert.equal(history.endOf('a', 30), 20);
    assert.equal(history.endOf('b', 30), NEVER);
  });

  test('may be either of two concurrent replaces', () => {
    const history = new PictureHistory();
    const [a, b] = [history.start('a', 0), history.start('b', 1)];
    history.finish(a, 5);
    history.finish(b, 6);
    assert.deepEqual([history.endOf('a', 9), history.endOf('b', 9)], [NEVER, NEVER]);
    history.settle('a', 10);
    assert.deepEqual([history.endOf('a', 11), history.endOf('b', 11)], [NEVER, 10]);
  });

  test('is unknown before its request, and after a refusal', () => {
    const history = new PictureHistory();
    const a = history.start('a', 5);
    assert.equal(history.endOf('a', 4), undefined);
    assert.equal(history.endOf('b', 9), undefined);
    history.refuse(a);
    assert.equal(history.endOf('a', 9), undefined);
  });

  test('may be an unanswered one until the record shows another', () => {
    const history = new PictureHistory();
    history.finish(history.start('a', 0), 1);
    history.start('b', 2);
    history.finish(history.start('c', 3), 4);
    assert.equal(history.endOf('b', 100), NEVER, 'it may have come after c');
    history.settle('c', 50);
    assert.equal(history.endOf('b', 100), 50);
  });
});

test('staleness counts from the moment at which the node reached the database again', () => {
  const blindness = new Blindness();
  assert.equal(blindness.staleness(10, 25), 15);
  assert.equal(blindness.staleness(NEVER, 25), 0);
  blindness.begin(30);
  assert.equal(blindness.staleness(10, 25), 15, 'it saw at that time');
  assert.equal(blindness.staleness(10, 35), undefined);
  blindness.end(40);
  assert.equal(blindness.staleness(10, 35), undefined);
  assert.equal(blindness.staleness(10, 43), 3);
  assert.equal(blindness.staleness(41, 43), 2);
});
