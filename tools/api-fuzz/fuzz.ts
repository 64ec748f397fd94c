/**
 * Fuzzes the API with schemathesis against a server with example data.
 *
 * The requests follow docs/openapi.json or break it on purpose. A response must not be an internal error. Its
 * status, its type and its body must match the document.
 *
 * `npm run fuzz:api -- --minutes 20 --seed 7 --database postgres`
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../../packages/server/test/support/postgres.ts';
import { picture } from '../../packages/server/test/support/sample.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../packages/server/test/support/server.ts';
import { installPython, run } from '../python/environment.ts';

const HERE = import.meta.dirname;
const REQUIREMENTS = join(HERE, 'requirements.txt');
const DOCUMENT = resolve(HERE, '../../docs/openapi.json');
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
];

const CATEGORIES = [
  { categoryID: 'dishes', name: 'Dishes' },
  { categoryID: 'cups', name: 'Cups', parentID: 'dishes' },
];

const print = (text: string) => process.stdout.write(`${text}\n`);

/** Creates records of every kind. Returns their IDs by the parameter names of the OpenAPI document. */
async function createRecords(server: TestServer) {
  const post = async (path: string, body: unknown) => {
    const { status, body: answer } = await server.send('POST', path, body);
    if (status !== 201 && status !== 200)
      throw new Error(`POST ${path}: ${status} ${JSON.stringify(answer)}`);
    return answer;
  };
  const accountPath = `/accounts/${ACCOUNT}`;
  const images = await Promise.all([1, 2, 3, 4, 5].map(async (n) => server.addImage(await picture(n))));
  const imageIDs = images.map(({ imageID }) => imageID);
  const [first, second] = imageIDs;
  const basePrice = { currency: 'USD', valueDecimal: '9.99' };
  const title = 'Cup';
  const product = await post(`${accountPath}/products`, {
    title,
    description: 'A cup.',
    basePrice,
    images: [{ imageID: first }],
    categoryID: 'cups',
  });
  const another = await post(`${accountPath}/products`, { title: 'Plate', description: '', basePrice });
  const items = [{ name: 'Cup', basePrice, quantity: 2, productID: product.productID, imageIDs: [second] }];
  const lineItems = await post(`${accountPath}/line-items`, { items });
  const other = await post('/accounts', { displayName: 'Other' });
  const key = await post(`${accountPath}/keys`, { name: 'one' });
  const serverKey = await post('/keys', { name: 'two', accounts: [ACCOUNT] });
  const keys = (await server.send('GET', '/keys?count=200')).body as { keyID: string; publicKey: string }[];
  return {
    accountID: [ACCOUNT, ACCOUNT, ACCOUNT, other.accountID],
    imageID: imageIDs,
    publicID: images.map(({ publicID }) => publicID),
    productID: [product.productID, another.productID],
    categoryID: CATEGORIES.map(({ categoryID }) => categoryID),
    category: CATEGORIES.map(({ categoryID }) => categoryID),
    lineItemsID: [lineItems.lineItemsID],
    keyID: [key.keyID, serverKey.keyID],
    client_id: [key.publicKey, KEY.publicKey],
    client_secret: [key.secretKey],
    protected: keys.filter(({ publicKey }) => publicKey === KEY.publicKey).map(({ keyID }) => keyID),
  };
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1.5' },
      seed: { type: 'string', default: '1' },
      database: { type: 'string', default: 'sqlite' },
    },
  });
  const python = await installPython('api-fuzz', REQUIREMENTS);
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-fuzz-'));
  const categories = join(folder, 'categories.json');
  await writeFile(categories, JSON.stringify(CATEGORIES));
  const { postgres } = values.database === 'postgres' ? await startPostgres() : { postgres: undefined };
  const errors: string[] = [];
  const statuses: Record<string, number> = {};
  const server = await startServer(
    {
      VITRINE_RATE_LIMIT: '0',
      VITRINE_IMAGE_QUOTA: '1000000',
      VITRINE_SIZE_BUDGET: '0',
      VITRINE_PRODUCT_CATEGORIES: categories,
      ...(postgres && { VITRINE_DATABASE: await postgres.createDatabase() }),
    },
    {
      logTo: {
        write(line) {
          if (/"level":(50|60)/.test(line)) errors.push(line);
          const status = /"status":(\d+),.*"msg":"answered"/.exec(line)?.[1];
          if (status !== undefined) statuses[status] = (statuses[status] ?? 0) + 1;
        },
      },
    },
  );
  try {
    const ids = await createRecords(server);
    print(`seed ${values.seed}, ${values.minutes} min, ${values.database}, ${server.url}`);
    const code = await run(
      python,
      [
        '-m',
        'schemathesis.cli',
        'run',
        DOCUMENT,
        `--url=${server.url}`,
        `--auth=${KEY.publicKey}:${KEY.secretKey}`,
        `--checks=${CHECKS.join(',')}`,
        `--seed=${values.seed}`,
        `--max-time=${Math.ceil(Number(values.minutes) * 60)}`,
        '--generation-database=none',
        '--continue-on-failure',
        '--request-timeout=30',
        // One thread: `ast.parse` of Python 3.11 can fail in several threads (python/cpython#106905).
        '--workers=1',
        '--warnings=off',
        '--no-color',
      ],
      {
        // Schemathesis writes its replay files to the working folder.
        cwd: folder,
        env: {
          ...process.env,
          SCHEMATHESIS_HOOKS: 'hooks',
          PYTHONPATH: HERE,
          API_FUZZ_IDS: JSON.stringify(ids),
        },
      },
    );
    print(`responses by status: ${JSON.stringify(statuses)}`);
    for (const line of errors.slice(0, 20)) print(`the server logged an error: ${line.trim()}`);
    const alive = (await fetch(`${server.url}/livez`)).status === 200;
    if (!alive) print('the server no longer answers /livez');
    return code === 0 && errors.length === 0 && alive ? 0 : 1;
  } finally {
    await server.close();
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
