/** Libraries that move: a source with every kind of record, new targets, and a comparison of both servers. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { withStores } from '../../../src/cli/admin/stores.ts';
import type { Row } from '../../../src/maintenance/records.ts';
import { CREDENTIALS, type S3Server } from '../../blobs/s3-servers.ts';
import { largePicture } from '../../support/libraries.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, basic, type ImageJSON, type TestClient } from '../../support/server.ts';

/** The parts of the output of `vitrine migrate --json` that tests read. */
export interface MoveJSON {
  readonly outcome: 'copied' | 'moved' | 'moved-before';
  readonly isClose?: boolean;
  readonly passes: readonly {
    readonly inserted: number;
    readonly updated: number;
    readonly deleted: number;
    readonly originals: number;
    readonly rungs: number;
    readonly missing: readonly unknown[];
    readonly isLast: boolean;
  }[];
  readonly tables: Readonly<Record<string, { readonly rows: number; readonly digest: string }>>;
  readonly verification?: { readonly originals: number; readonly rungs: number };
  readonly environment: Record<string, string>;
}

/** A key that was created at the source. */
export interface SourceKey {
  readonly publicKey: string;
  readonly secretKey: string;
}

/** Fills a library with records of every kind. @returns a key of the second account. */
export async function fillLibrary(server: TestClient): Promise<SourceKey> {
  const images: ImageJSON[] = [];
  for (let number = 0; number < 12; number += 1) {
    const metadata = { altText: `Bild ${number} “é”`, tags: ['Ärger', `tag ${number % 3}`, 'z'] };
    images.push(await server.addImage(await picture(number), { metadata }));
  }
  for (const red of [10, 200]) images.push(await server.addImage(await largePicture(red)));
  const idOf = (index: number) => images[index]?.imageID ?? '';
  const ok = async (answer: Promise<{ status: number; body?: unknown }>) => {
    const { status, body } = await answer;
    assert.ok(status < 300, `${status} ${JSON.stringify(body)}`);
  };
  await ok(server.upload(await picture(500), { replace: idOf(1) }));
  await ok(server.send('DELETE', `/accounts/${ACCOUNT}/images/${idOf(2)}`));
  await ok(
    server.send('POST', `/accounts/${ACCOUNT}/products`, {
      title: 'Lemonade',
      basePrice: { currency: 'USD', valueDecimal: '1.5' },
      images: [{ imageID: idOf(0) }, { imageID: idOf(3) }],
    }),
  );
  const account = await server.send('POST', '/accounts', { displayName: 'Zweites Konto' });
  await ok(Promise.resolve(account));
  const { accountID } = account.body as { accountID: string };
  const key = await server.send('POST', `/accounts/${accountID}/keys`, {
    name: 'The key',
    scopes: ['images.read', 'images.write'],
  });
  await ok(Promise.resolve(key));
  const { publicKey, secretKey } = key.body as SourceKey;
  const authorization = basic(publicKey, secretKey);
  const headers = { authorization, 'idempotency-key': 'once~{}' };
  await server.addImage(await picture(900), { account: accountID, headers });
  return { publicKey, secretKey };
}

/** A target in a new bucket. The region and the credentials are in the environment. */
export async function newBlobs(s3: S3Server, endpoint = s3.endpoint): Promise<string> {
  return `s3://${await s3.createBucket()}/library?endpoint=${endpoint}&region=us-east-1`;
}

export { CREDENTIALS };

/** Writes to a library until it is stopped, and remembers what the server acknowledged. */
export class Writer {
  /** Image IDs and the version that was acknowledged last. */
  readonly acknowledged = new Map<string, { altText: string }>();
  /** Numbers of answers by their status. */
  readonly statuses = new Map<number, number>();
  #isStopped = false;
  #done: Promise<void> | undefined;

  start(server: TestClient, from: number): void {
    this.#done = this.#run(server, from);
  }

  async #run(server: TestClient, from: number): Promise<void> {
    for (let number = from; !this.#isStopped; number += 1) {
      const altText = `written ${number}`;
      const answer = await server.upload(await picture(number), { metadata: { altText } });
      this.#count(answer.status);
      const body = (await answer.json()) as ImageJSON;
      if (answer.status !== 201) continue;
      this.acknowledged.set(body.imageID, { altText });
      const previous = [...this.acknowledged.keys()].at(-3);
      if (previous === undefined) continue;
      const changed = `changed ${number}`;
      const path = `/accounts/${ACCOUNT}/images/${previous}/metadata`;
      const change = await server.send('PUT', path, { altText: changed, tags: [`n${number % 7}`] });
      this.#count(change.status);
      if (change.status === 200) this.acknowledged.set(previous, { altText: changed });
    }
  }

  #count(status: number): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }
}

/** All images of an account, without the host of their links. */
export async function listImages(server: TestClient, account = ACCOUNT): Promise<ImageJSON[]> {
  const images: ImageJSON[] = [];
  for (;;) {
    const path = `/accounts/${account}/images?count=200&skip=${images.length}`;
    const { body } = await server.send<ImageJSON[]>('GET', path);
    images.push(...body.map((image) => ({ ...image, link: new URL(image.link).pathname })));
    if (body.length < 200) return images;
  }
}

/** Asserts that both servers answer the API, every link and every original alike. @returns the images. */
export async function assertSameAnswers(source: TestClient, target: TestClient): Promise<ImageJSON[]> {
  const accounts = await readAll(source, '/accounts');
  assert.deepEqual(await readAll(target, '/accounts'), accounts);
  const all: ImageJSON[] = [];
  for (const { accountID } of accounts as { accountID: string }[]) {
    const images = await listImages(source, accountID);
    all.push(...images);
    assert.deepEqual(await listImages(target, accountID), images);
    for (const path of ['products', 'audit', 'keys']) {
      const [ofSource, ofTarget] = [
        await readAll(source, `/accounts/${accountID}/${path}`),
        await readAll(target, `/accounts/${accountID}/${path}`),
      ];
      assert.deepEqual(ofTarget.map(withoutHost), ofSource.map(withoutHost), path);
    }
    for (const { imageID, link } of images) {
      for (const path of [link, `${link}?size=96x0`, `/accounts/${accountID}/images/${imageID}/original`]) {
        await assertSameAnswer(source, target, path);
      }
    }
  }
  return all;
}

async function assertSameAnswer(source: TestClient, target: TestClient, path: string): Promise<void> {
  const [one, other] = await Promise.all([source.fetch(path), target.fetch(path)]);
  assert.equal(other.status, one.status, path);
  assert.equal(other.headers.get('etag'), one.headers.get('etag'), path);
  const [bytes, expected] = [Buffer.from(await other.arrayBuffer()), Buffer.from(await one.arrayBuffer())];
  assert.ok(bytes.equals(expected), `the bytes of ${path} differ`);
}

async function readAll(server: TestClient, path: string): Promise<unknown[]> {
  const { status, body } = await server.send<unknown[]>('GET', `${path}?count=200`);
  assert.equal(status, 200, `${path}: ${JSON.stringify(body)}`);
  return body;
}

/** Without what differs: the host of links, and the last use of a key, which the test itself changes. */
function withoutHost(record: unknown): unknown {
  return JSON.parse(
    JSON.stringify(record, (name, value) => {
      if (name === 'lastUsedOn') return undefined;
      return name === 'link' ? new URL(String(value), 'http://any').pathname : value;
    }),
  );
}

/** All rows of a library by table. */
export function readRows(env: Record<string, string>): Promise<Record<string, Row[]>> {
  return withStores({ env: { ...CREDENTIALS, ...env } }, ({ metadata }) =>
    metadata.maintenance.snapshot(async (snapshot) => {
      const rows: Record<string, Row[]> = {};
      for await (const batch of snapshot.rows()) {
        rows[batch.table] = [...(rows[batch.table] ?? []), ...batch.rows];
      }
      return rows;
    }),
  );
}

/** The file of an object, if the server keeps files. */
export function objectPath(s3: S3Server, blobs: string, key: string): string {
  return join(s3.folder, new URL(blobs).hostname, 'library', key);
}
