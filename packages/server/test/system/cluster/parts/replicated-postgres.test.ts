/** The replicated PostgreSQL of the harness loses no answered commit itself. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startReplicatedPostgres } from './replicated-postgres.ts';

const postgres = await startReplicatedPostgres();
after(() => postgres.stop());
const numbers = async () => (await postgres.query('select n from numbers order by n')).map(({ n }) => n);

test('answered commits survive a crash of the primary, promotions, and a standby that was away', async () => {
  await postgres.query('create table numbers (n int)');
  await postgres.query('insert into numbers values (1)');
  await postgres.restart('immediate');
  assert.deepEqual(await numbers(), [1]);

  await postgres.killPrimary();
  await postgres.promote();
  assert.deepEqual(await numbers(), [1]);
  await postgres.query('insert into numbers values (2)');
  await postgres.createStandby();

  await postgres.killStandby();
  const waiting = postgres.query('insert into numbers values (3)');
  assert.equal(await Promise.race([waiting, pause(300, 'waiting')]), 'waiting');
  await postgres.startStandby();
  await waiting;
  await postgres.killPrimary();
  await postgres.promote();
  assert.deepEqual(await numbers(), [1, 2, 3]);
});
