import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Circuit } from '../../src/concurrency/circuit.ts';
import { isAppError } from '../../src/errors.ts';

function setUp() {
  let time = 0;
  const changes: string[] = [];
  const circuit = new Circuit({
    message: 'away',
    onChange: (state) => void changes.push(state),
    now: () => time,
  });
  const isOpen = () => {
    try {
      circuit.check();
      return false;
    } catch {
      return true;
    }
  };
  return { circuit, changes, isOpen, wait: (milliseconds: number) => (time += milliseconds) };
}

for (const [kind, count] of [
  ['error', 5],
  ['timeout', 2],
  ['stall', 1],
] as const) {
  it(`opens after ${count} failures of the kind ${kind} in a row`, () => {
    const { circuit, changes, isOpen } = setUp();
    for (let i = 1; i < count; i += 1) circuit.enter().failed(kind, new Error('no'));
    assert.equal(isOpen(), false);
    circuit.enter().failed(kind, new Error('no'));
    assert.equal(isOpen(), true);
    assert.deepEqual(changes, ['open']);
  });
}

it('counts failures from zero after a success, and ignores released calls and second reports', () => {
  const { circuit, isOpen } = setUp();
  for (let i = 0; i < 20; i += 1) {
    const permit = circuit.enter();
    permit.failed('timeout', undefined);
    permit.failed('timeout', undefined);
    circuit.enter().released();
    circuit.enter().succeeded();
  }
  assert.equal(isOpen(), false);
});

it('refuses calls with the last failure and the time to wait', () => {
  const { circuit } = setUp();
  const failure = new Error('no');
  circuit.enter().failed('stall', failure);
  assert.throws(
    () => circuit.enter(),
    (error: unknown) => isAppError(error, 'unavailable') && error.retryAfter === 1 && error.cause === failure,
  );
});

it('admits one trial after a pause, and closes when it succeeds', () => {
  const { circuit, changes, isOpen, wait } = setUp();
  circuit.enter().failed('stall', undefined);
  wait(1_000);
  assert.equal(isOpen(), false);
  const trial = circuit.enter();
  assert.equal(isOpen(), true, 'only one call is the trial');
  trial.succeeded();
  assert.equal(isOpen(), false);
  assert.deepEqual(changes, ['open', 'closed']);
});

it('waits twice as long after each failed trial, up to 4 s', () => {
  const { circuit, isOpen, wait } = setUp();
  circuit.enter().failed('stall', undefined);
  wait(1_000);
  for (const pause of [2_000, 4_000, 4_000]) {
    circuit.enter().failed('error', undefined);
    wait(pause - 1);
    assert.equal(isOpen(), true);
    wait(1);
    assert.equal(isOpen(), false);
  }
});

it('admits the next trial at once if a trial is cancelled', () => {
  const { circuit, isOpen, wait } = setUp();
  circuit.enter().failed('stall', undefined);
  wait(1_000);
  circuit.enter().released();
  assert.equal(isOpen(), false);
});

it('does not let late failures of earlier calls prolong the pause', () => {
  const { circuit, isOpen, wait } = setUp();
  const late = circuit.enter();
  circuit.enter().failed('stall', undefined);
  wait(999);
  late.failed('stall', undefined);
  wait(1);
  assert.equal(isOpen(), false);
});
