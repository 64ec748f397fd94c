/**
 * Made-up bodies for every operation that takes JSON, sent to a server on SQLite and to one on PostgreSQL: both give the
 * same answer, it is in the document, and it is never an error of the server's.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';
import { nearly, type Schema } from './json.ts';

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, unknown>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const DOCUMENT = join(import.meta.dirname, '../../../../../docs/openapi.json');
const { paths, components } = JSON.parse(readFileSync(DOCUMENT, 'utf8')) as Document;

const OPERATIONS = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).flatMap(([method, operation]) => {
    const schema = operation.requestBody?.content['application/json']?.schema;
    return schema ? [{ path, method, operation, schema }] : [];
  }),
);

/** So many bodies for each operation. Long runs are for `npm run fuzz:api`. */
const RUNS = 60;
/** The same at every run; another one is to be found by hand. */
const SEED = 20_261_124;

const { postgres, skip } = await startPostgres();

/** A server and what is in it: the IDs, in the order in which things were made. */
interface Side {
  readonly server: TestServer;
  readonly ids: Readonly<Record<string, readonly string[]>>;
}

async function side(env: Record<string, string>): Promise<Side> {
  const server = await startServer({ VITRINE_RATE_LIMIT: '0', VITRINE_IMAGE_QUOTA: '100000', ...env });
  const under = `/accounts/${ACCOUNT}`;
  const images = [];
  for (const number of [1, 2, 3, 4]) images.push((await server.addImage(await picture(number))).imageID);
  await server.fetch(`${under}/images/${images[3]}`, { method: 'DELETE' });
  const basePrice = { currency: 'USD', valueDecimal: '1' };
  const product = { title: 'Cup', description: 'A cup', basePrice, images: [{ imageID: images[0] }] };
  const products = [];
  for (let n = 0; n < 3; n++)
    products.push((await server.send('POST', `${under}/products`, product)).body.productID);
  const key = await server.send('POST', `${under}/keys`, { name: 'one' });
  const serverKey = await server.send('POST', '/keys', { name: 'two', accounts: [ACCOUNT] });
  return {
    server,
    ids: {
      imageID: images,
      productID: products,
      accountID: [ACCOUNT],
      keyID: [key.body.keyID, serverKey.body.keyID],
    },
  };
}

/** The body with the IDs of that side in it. */
function filled(value: unknown, { ids }: Side): unknown {
  if (typeof value === 'string') {
    const [, name = '', index] = /^known:(\w+):(\d+)$/.exec(value) ?? [];
    const choices = ids[name];
    return choices ? choices[Number(index) % choices.length] : value;
  }
  if (Array.isArray(value)) return value.map((one) => filled(one, { ids } as Side));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, filled(one, { ids } as Side)]));
  }
  return value;
}

/** The shape of an answer: what must be the same wherever it comes from. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shape);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([key, one]) => [key, shape(one)]),
    );
  }
  return typeof value;
}

describe('a made-up body', { skip }, () => {
  let sides: [Side, Side];
  before(async () => {
    const url = await (postgres as TestPostgres).createDatabase();
    sides = [await side({}), await side({ VITRINE_DATABASE: url })];
  });
  after(async () => {
    for (const { server } of sides) await server.close();
    await postgres?.stop();
  });

  for (const { path, method, operation, schema } of OPERATIONS) {
    test(`of ${operation.operationId} is answered alike on both databases, as the document has it`, async () => {
      const seen = new Set<number>();
      const send = async (body: unknown, at: Side) => {
        const url = path.replace(/\{(\w+)\}/g, (_, name: string) => at.ids[name]?.[0] ?? 'none');
        const sent = await at.server.send(method.toUpperCase(), url, JSON.stringify(filled(body, at)) ?? '');
        return { status: sent.status, shape: shape(sent.body) };
      };
      await fc.assert(
        fc.asyncProperty(nearly(schema, components.schemas), async (body) => {
          const [one, other] = [await send(body, sides[0]), await send(body, sides[1])];
          seen.add(one.status);
          assert.deepEqual(other, one);
          assert.ok(one.status < 500 && operation.responses[one.status] !== undefined, String(one.status));
        }),
        { numRuns: RUNS, seed: SEED },
      );
      assert.ok(seen.size > 1, `only ${[...seen]} was ever answered`);
    });
  }
});
