import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Shares } from '../../src/concurrency/concurrency-limit.ts';

describe('a share', () => {
  test('is each name’s own, and what is given back can be taken again', () => {
    const shares = new Shares(2);
    const [one, two] = [shares.take('a'), shares.take('a')];
    assert.ok(one && two);
    assert.equal(shares.take('a'), undefined);
    assert.ok(shares.take('b'));
    one();
    assert.ok(shares.take('a'));
    assert.equal(shares.take('a'), undefined);
  });

  test('given back twice is given back once', () => {
    const shares = new Shares(1);
    const one = shares.take('a');
    one?.();
    const two = shares.take('a');
    one?.();
    assert.equal(shares.take('a'), undefined);
    two?.();
    assert.equal(shares.size, 0, 'nothing is remembered of who holds nothing');
  });
});
