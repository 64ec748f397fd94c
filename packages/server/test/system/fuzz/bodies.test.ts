/**
 * Generated bodies for each operation that takes JSON, sent to a server on SQLite and to one on PostgreSQL.
 * Both answers must have the same status and shape. The status must be in docs/openapi.json and below 500.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';
import { generateNearly, type Schema } from './json.ts';

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

/** The number of bodies for each operation. Use `npm run fuzz:api` for long runs. */
const RUNS = 60;
/** Fixed, so that each run of the tests sends the same bodies. */
const SEED = 20_261_124;

const { postgres, skip } = await startPostgres();

/** A server with sample data. */
interface Side {
  readonly server: TestServer;
  /** The IDs of the sample data by parameter name, in the order of creation. */
  readonly ids: Readonly<Record<string, readonly string[]>>;
}

async function startSide(env: Record<string, string>): Promise<Side> {
  const server = await startServer({ VITRINE_RATE_LIMIT: '0', VITRINE_IMAGE_QUOTA: '100000', ...env });
  const account = `/accounts/${ACCOUNT}`;
  const images = [];
  for (const number of [1, 2, 3, 4]) images.push((await server.addImage(await picture(number))).imageID);
  await server.fetch(`${account}/images/${images[3]}`, { method: 'DELETE' });
  const basePrice = { currency: 'USD', valueDecimal: '1' };
  const product = { title: 'Cup', description: 'A cup', basePrice, images: [{ imageID: images[0] }] };
  const products = [];
  for (let n = 0; n < 3; n++)
    products.push((await server.send('POST', `${account}/products`, product)).body.productID);
  const key = await server.send('POST', `${account}/keys`, { name: 'one' });
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

/** Replaces placeholders by IDs of that side. */
function insertIDs(value: unknown, side: Side): unknown {
  if (typeof value === 'string') {
    const [, name = '', index] = /^existing:(\w+):(\d+)$/.exec(value) ?? [];
    const choices = side.ids[name];
    return choices ? choices[Number(index) % choices.length] : value;
  }
  if (Array.isArray(value)) return value.map((item) => insertIDs(item, side));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, insertIDs(item, side)]));
  }
  return value;
}

/** Replaces each value of an answer by its type. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([key, item]) => [key, shapeOf(item)]),
    );
  }
  return typeof value;
}

describe('generated bodies', { skip }, () => {
  let sides: [Side, Side];
  before(async () => {
    const url = await (postgres as TestPostgres).createDatabase();
    sides = [await startSide({}), await startSide({ VITRINE_DATABASE: url })];
  });
  after(async () => {
    for (const { server } of sides) await server.close();
    await postgres?.stop();
  });

  for (const { path, method, operation, schema } of OPERATIONS) {
    test(`of ${operation.operationId} get equal answers on both databases, with a documented status`, async () => {
      const statuses = new Set<number>();
      const send = async (body: unknown, side: Side) => {
        const url = path.replace(/\{(\w+)\}/g, (_, name: string) => side.ids[name]?.[0] ?? 'none');
        const text = JSON.stringify(insertIDs(body, side)) ?? '';
        const answer = await side.server.send(method.toUpperCase(), url, text);
        return { status: answer.status, shape: shapeOf(answer.body) };
      };
      await fc.assert(
        fc.asyncProperty(generateNearly(schema, components.schemas), async (body) => {
          const [one, other] = [await send(body, sides[0]), await send(body, sides[1])];
          statuses.add(one.status);
          assert.deepEqual(other, one);
          assert.ok(one.status < 500 && operation.responses[one.status] !== undefined, String(one.status));
        }),
        { numRuns: RUNS, seed: SEED },
      );
      assert.ok(statuses.size > 1, `the only status is ${[...statuses]}`);
    });
  }
});
