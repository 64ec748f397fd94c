/**
 * Secrets appear nowhere but in the one answer that tells them: not in the log, not in other answers, not in the audit
 * trail, and not in the bytes of the database.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { digestOf, matching, newSecretKey } from '../../src/access/secrets.ts';
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

/** Uses secrets in every way they can be used, well and badly. Returns them, and every answer that tells none. */
async function useSecrets(server: TestServer): Promise<{ secrets: string[]; answers: string[] }> {
  const answers: string[] = [];
  const ask = async (method: string, path: string, body?: unknown, authorization?: string) => {
    const { status, headers, body: json } = await server.send(method, path, body, authorization);
    answers.push(JSON.stringify([status, [...headers], json]));
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
  // Where they are right, where they are wrong, and where they do not belong at all.
  await ask('GET', '/ping', undefined, bearer(access_token));
  await ask('GET', '/ping', undefined, bearer(refresh_token));
  await ask('GET', '/ping', undefined, basic(key.publicKey, access_token));
  await ask('GET', '/ping', undefined, `Nonsense ${next.secretKey}`);
  await ask('GET', `/ping?access_token=${access_token}&secret=${next.secretKey}`, undefined, 'Basic');
  await ask('POST', '/oauth2/token', { ...form, refresh_token }, basic(key.publicKey, 'wrong'));
  await ask('POST', '/oauth2/token', form, basicOf(next));
  await ask('POST', '/oauth2/token', { client_id: next.publicKey, client_secret: [next.secretKey] });
  await ask('POST', '/oauth2/token', { grant_type: next.secretKey, scope: next.secretKey }, basicOf(next));
  await ask('POST', '/oauth2/revoke', { token: access_token, token_type_hint: access_token }, basicOf(next));
  await ask('POST', path, { name: 5, secretKey: next.secretKey });
  await ask('POST', path, { name: 'x', scopes: [next.secretKey] });
  await ask('GET', path);
  await ask('GET', `${path}/${key.keyID}`);
  await ask('GET', '/keys');
  await ask('GET', '/audit');
  await ask('GET', `/accounts/${accountID}/audit`);
  await ask('DELETE', `${path}/${key.keyID}`);
  const secrets = [KEY.secretKey, key.secretKey, wide.secretKey, next.secretKey];
  secrets.push(token.access_token, token.refresh_token, access_token, refresh_token);
  // Also as they travel.
  for (const each of [key, next, wide]) secrets.push(basicOf(each).slice('Basic '.length));
  return { secrets, answers };
}

function assertAbsent(secrets: readonly string[], where: string, bytes: Buffer | string): void {
  for (const secret of secrets) {
    assert.equal(bytes.includes(secret), false, `${secret.slice(0, 14)}… is in ${where}`);
  }
}

describe('secrets', () => {
  test('are in no log line, no other answer, and no file of a server on SQLite', async () => {
    const lines: string[] = [];
    const server = await startServer({}, { logTo: { write: (line) => lines.push(line) } });
    try {
      const { secrets, answers } = await useSecrets(server);
      assertAbsent(secrets, 'an answer', answers.join('\n'));
      assert.equal(secrets.length, 11);
      assert.ok(lines.length >= answers.length);
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

  test('are in no log line and no row of a server on PostgreSQL', { skip }, async () => {
    assert.ok(postgres);
    const lines: string[] = [];
    const url = await postgres.createDatabase();
    const logTo = { write: (line: string) => lines.push(line) };
    const server = await startServer({ VITRINE_DATABASE: url }, { logTo });
    try {
      const { secrets, answers } = await useSecrets(server);
      assertAbsent(secrets, 'an answer', answers.join('\n'));
      assertAbsent(secrets, 'the log', lines.join('\n'));
      const tables = await postgres.query(
        url,
        `select table_name from information_schema.tables where table_schema = 'public'`,
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

  test('are 256 random bits behind a prefix, and compared as digests', () => {
    const secret = newSecretKey();
    assert.match(secret, /^vitrine_sk_[A-Za-z0-9_-]{43}$/);
    const candidates = [{ digest: digestOf('another') }, { digest: digestOf(secret) }];
    assert.equal(matching(secret, candidates), candidates[1]);
    assert.equal(matching('another', candidates), candidates[0]);
    assert.equal(matching('', candidates), undefined);
    assert.equal(matching(secret, []), undefined);
  });
});
