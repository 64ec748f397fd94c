/** The portable values of native types, in a real PostgreSQL. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { openPostgres } from '../../../src/database/postgres/postgres.ts';
import { READERS, WRITERS } from '../../../src/database/postgres/types.ts';
import { NIL_UUID } from '../../../src/validation/uuid.ts';
import { accountOf, BY, digestOf, newImage, START } from '../../conformance/metadata-samples.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

function server(): TestPostgres {
  assert.ok(postgres !== undefined);
  return postgres;
}

/** Every kind of setting that changes the texts of values. */
const SETTINGS = [
  'TimeZone=UTC',
  'TimeZone=Asia/Kathmandu',
  'TimeZone=America/St_Johns',
  'bytea_output=escape',
];

describe('native values', { skip }, () => {
  for (const setting of SETTINGS) {
    test(`are the same after they are stored, with ${setting}`, async () => {
      const url = new URL(await server().createEmptyDatabase());
      url.searchParams.set('options', `-c ${setting}`);
      const TIMES = [
        ...[0, -1, 1, 999, 1_700_000_000_123, -62_135_596_800_000, -62_135_596_800_001, -62_167_219_200_001],
        ...[253_402_300_799_999, 253_402_300_800_000, 8_210_266_876_799_999, -2_208_988_800_500, -1e13 - 7],
      ];
      // PostgreSQL stores no time before 4713 BC.
      for (const time of TIMES) {
        const written = WRITERS.get(1184)?.(time) ?? '';
        const [row] = await server().query(url.href, 'select $1::timestamptz as value', [written]);
        assert.equal(row?.value, time, written);
      }
      for (const digest of ['', '00', 'ff5c0a', digestOf('x')]) {
        const written = WRITERS.get(17)?.(digest) ?? '';
        const [row] = await server().query(url.href, 'select $1::bytea as value', [written]);
        assert.equal(row?.value, digest, written);
      }
    });
  }

  test('of times are limits in comparisons beyond the range of a Date', async () => {
    const write = WRITERS.get(1184);
    assert.deepEqual([write?.(Number.MAX_SAFE_INTEGER), write?.(-1e300)], ['infinity', '-infinity']);
    assert.equal(READERS.get(1184)?.('infinity'), Number.POSITIVE_INFINITY);
    assert.throws(() => READERS.get(1184)?.('01.02.2026 00:00:00 CET'), /DateStyle/);
  });

  test('of another form are in no record, and cannot be stored', async () => {
    const url = await server().createDatabase();
    const store = await openPostgres({ url });
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const image = newImage('one');
    await images.insert(image, { defaultQuota: 9 });
    const malformed = [
      '',
      'none',
      image.imageID.toUpperCase(),
      ` ${image.imageID}`,
      `{${image.imageID}}`,
      image.imageID.replaceAll('-', ''),
      NIL_UUID,
      `${image.imageID}\0`,
      '\u{1F3FA}'.repeat(9),
    ];
    for (const id of malformed) {
      assert.equal(await images.find(id), undefined, id);
      assert.equal((await images.findMany([id, image.imageID])).size, 1);
      assert.equal(await images.usage(id), undefined);
      assert.equal((await images.describe(id, { altText: 'x' }, START)).kind, 'not-found');
      assert.equal((await images.disable(id, START)).kind, 'not-found');
      assert.equal(await store.accounts.find(id), undefined);
      const suspended = await store.accounts.change(id, { kind: 'suspend' }, START, BY);
      assert.equal(suspended, undefined);
      const { total } = await store.forAccount(id).list({ skip: 0, count: 9 });
      assert.equal(total, 0);
      assert.deepEqual(
        (await store.forAccount(id).list({ skip: 0, count: 9 }, { tag: 'a', search: 'b' })).images,
        [],
      );
      assert.equal((await store.forAccount(id, BY).insert(image, { defaultQuota: 9 })).kind, 'no-account');
      assert.equal(await store.keys.findByID(id), undefined);
      assert.equal((await store.keys.list({ skip: 0, count: 9 }, id)).total, 0);
      assert.equal(await store.tokens.find(id), undefined);
      assert.equal(await store.catalogOf(account.accountID).findProduct(id), undefined);
      assert.equal(await store.catalogOf(account.accountID).findLineItems(id), undefined);
      if (id !== '' && id !== NIL_UUID)
        assert.equal((await store.audit.list(id, { skip: 0, count: 9 })).total, 0);
    }
    for (const imageID of ['none', image.imageID.toUpperCase()]) {
      const other = { ...newImage(imageID), imageID };
      await assert.rejects(images.insert(other, { defaultQuota: 9 }), TypeError);
    }
    assert.equal((await images.list({ skip: 0, count: 9 })).total, 1);
    await store.close();
  });

  test('of audit entries of the server have no account', async () => {
    const url = await server().createDatabase();
    const store = await openPostgres({ url });
    await store.keys.create(
      {
        keyID: randomUUID(),
        publicKey: 'all',
        name: 'all',
        accounts: 'all',
        scopes: ['ping.read'],
        createdOn: START,
      },
      digestOf('secret'),
      BY,
    );
    const { entries } = await store.audit.list(undefined, { skip: 0, count: 9 });
    assert.deepEqual(
      entries.map(({ accountID, action }) => [accountID, action]),
      [[undefined, 'key.create']],
    );
    const [row] = await server().query(url, 'select account_id::text as id from vitrine_records.audit');
    assert.equal(row?.id, NIL_UUID);
    await store.close();
  });

  test('are written right from the first statement, also by many stores at once', async () => {
    const url = await server().createDatabase();
    const stores = await Promise.all(
      // The writers of one account wait for each other, and the machine may be slow.
      Array.from({ length: 5 }, () =>
        openPostgres({ url, limits: { wait: 60_000, statement: 60_000, transaction: 60_000 } }),
      ),
    );
    const account = accountOf();
    await stores[0]?.accounts.create(account, BY);
    const outcomes = await Promise.all(
      stores.flatMap((store, index) =>
        Array.from({ length: 10 }, (_, n) =>
          store.forAccount(account.accountID, BY).insert(newImage(`${index} ${n}`), { defaultQuota: 99 }),
        ),
      ),
    );
    assert.ok(outcomes.every(({ kind }) => kind === 'inserted'));
    const [row] = await server().query(
      url,
      `select count(*)::int as n from vitrine_records.images
        where octet_length(digest) = 32 and created_on = '${START.toISOString()}'`,
    );
    assert.equal(row?.n, 50);
    await Promise.all(stores.map((store) => store.close()));
  });
});
