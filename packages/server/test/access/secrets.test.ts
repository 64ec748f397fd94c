/**
 * A secret appears only in the one response that creates it. The log, the other responses, the audit trail
 * and the bytes of the database never contain it.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { digestOf, findBySecret, generateSecretKey } from '../../src/access/secrets.ts';
import {
  basicOf,
  bearer,
  createAccount,
  createKey,
  createToken,
  type KeyJSON,
  successBody,
} from '../support/administration.ts';
import { startPostgres } from '../support/postgres.ts';
import { picture } from '../support/sample.ts';
import { basic, KEY, startServer, type TestServer } from '../support/server.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

/**
 * Uses secrets in every possible way, right and wrong.
 * @returns the secrets, and every response that must not contain them.
 */
async function useSecrets(server: TestServer): Promise<{ secrets: string[]; responses: string[] }> {
  const responses: string[] = [];
  const send = async (method: string, path: string, body?: unknown, authorization?: string) => {
    const { status, headers, body: json } = await server.send(method, path, body, authorization);
    responses.push(JSON.stringify([status, [...headers], json]));
  };
  const accountID = await createAccount(server);
  const path = `/accounts/${accountID}/keys`;
  const key = await createKey(server, accountID);
  const wide = await successBody(server.send<KeyJSON>('POST', '/keys', { name: 'Wide' }));
  const next = await successBody(server.send<KeyJSON>('POST', `${path}/${key.keyID}/rotate`, {}));
  const token = await createToken(server, next);
  const form = { grant_type: 'refresh_token', refresh_token: token.refresh_token };
  const refreshed = await successBody(
    server.send<typeof token>('POST', '/oauth2/token', form, basicOf(next)),
  );
  const { access_token, refresh_token } = refreshed;
  await server.upload(await picture(1), {
    account: accountID,
    headers: { authorization: bearer(access_token) },
  });
  // In the right places, with wrong credentials, and in places where no secret belongs.
  await send('GET', '/ping', undefined, bearer(access_token));
  await send('GET', '/ping', undefined, bearer(refresh_token));
  await send('GET', '/ping', undefined, basic(key.publicKey, access_token));
  await send('GET', '/ping', undefined, `Nonsense ${next.secretKey}`);
  await send('GET', `/ping?access_token=${access_token}&secret=${next.secretKey}`, undefined, 'Basic');
  await send('POST', '/oauth2/token', { ...form, refresh_token }, basic(key.publicKey, 'wrong'));
  await send('POST', '/oauth2/token', form, basicOf(next));
  await send('POST', '/oauth2/token', { client_id: next.publicKey, client_secret: [next.secretKey] });
  await send('POST', '/oauth2/token', { grant_type: next.secretKey, scope: next.secretKey }, basicOf(next));
  await send('POST', '/oauth2/revoke', { token: access_token, token_type_hint: access_token }, basicOf(next));
  await send('POST', path, { name: 5, secretKey: next.secretKey });
  await send('POST', path, { name: 'x', scopes: [next.secretKey] });
  await send('GET', path);
  await send('GET', `${path}/${key.keyID}`);
  await send('GET', '/keys');
  await send('GET', '/audit');
  await send('GET', `/accounts/${accountID}/audit`);
  await send('DELETE', `${path}/${key.keyID}`);
  const secrets = [KEY.secretKey, key.secretKey, wide.secretKey, next.secretKey];
  secrets.push(token.access_token, token.refresh_token, access_token, refresh_token);
  // Also in the form of the Authorization header.
  for (const each of [key, next, wide]) secrets.push(basicOf(each).slice('Basic '.length));
  return { secrets, responses };
}

function assertAbsent(secrets: readonly string[], place: string, bytes: Buffer | string): void {
  for (const secret of secrets) {
    assert.equal(bytes.includes(secret), false, `${secret.slice(0, 14)}… is in ${place}`);
  }
}

describe('a secret', () => {
  test('is in no log line, no other response and no file of a server with SQLite', async () => {
    const lines: string[] = [];
    const server = await startServer({}, { logTo: { write: (line) => lines.push(line) } });
    try {
      const { secrets, responses } = await useSecrets(server);
      assertAbsent(secrets, 'a response', responses.join('\n'));
      assert.equal(secrets.length, 11);
      assert.ok(lines.length >= responses.length);
      assertAbsent(secrets, 'the log', lines.join('\n'));
      const names = await readdir(server.folder, { recursive: true, withFileTypes: true });
      const files = names
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => join(parentPath, name));
      assert.ok(files.some((name) => name.endsWith('vitrine.db-wal')));
      for (const file of files) assertAbsent(secrets, file, await readFile(file));
      const all = Buffer.concat(await Promise.all(files.map((file) => readFile(file))));
      assert.ok(all.includes(digestOf(KEY.secretKey)), 'the database was read');
    } finally {
      await server.close();
    }
  });

  test('is in no log line and no row of a server with PostgreSQL', { skip }, async () => {
    assert.ok(postgres);
    const lines: string[] = [];
    const url = await postgres.createDatabase();
    const logTo = { write: (line: string) => lines.push(line) };
    const server = await startServer({ VITRINE_DATABASE: url }, { logTo });
    try {
      const { secrets, responses } = await useSecrets(server);
      assertAbsent(secrets, 'a response', responses.join('\n'));
      assertAbsent(secrets, 'the log', lines.join('\n'));
      const tables = await postgres.query(
        url,
        `select table_name from information_schema.tables where table_schema = 'vitrine_records'`,
      );
      assert.ok(tables.length >= 9);
      const dump: string[] = [];
      for (const { table_name } of tables) {
        const rows = await postgres.query(url, `select to_jsonb(t) as row from "${table_name}" t`);
        dump.push(JSON.stringify(rows));
      }
      assert.ok(dump.join().includes(digestOf(KEY.secretKey)), 'the database was read');
      assertAbsent(secrets, 'the database', dump.join('\n'));
    } finally {
      await server.close();
    }
  });

  test('has 256 random bits after its prefix, and is compared by its digest', () => {
    const secret = generateSecretKey();
    assert.match(secret, /^vitrine_sk_[A-Za-z0-9_-]{43}$/);
    const candidates = [{ digest: digestOf('another') }, { digest: digestOf(secret) }];
    assert.equal(findBySecret(secret, candidates), candidates[1]);
    assert.equal(findBySecret('another', candidates), candidates[0]);
    assert.equal(findBySecret('', candidates), undefined);
    assert.equal(findBySecret(secret, []), undefined);
  });
});
