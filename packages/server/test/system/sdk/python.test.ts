/**
 * The published, unchanged Moov SDKs for Python as clients of the server: the two newest versions.
 * Their tests are in tools/sdk-python.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { findPython } from '../../../../../tools/python/environment.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../support/server.ts';

const TESTS = resolve(import.meta.dirname, '../../../../../tools/sdk-python');

/** More pictures than a test file uploads. */
const PICTURES = 24;

const CATEGORIES = [
  { categoryID: 'food', name: 'Food' },
  { categoryID: 'drinks', name: 'Drinks', parentID: 'food' },
  { categoryID: 'clothing', name: 'Clothing' },
];

/** The versions of the SDK, with that of the API that they send. */
const VERSIONS = { '26.8.6': 'v2026.07.00', '26.10.0.dev9': 'v2026.10.00' } as const;

for (const [version, apiVersion] of Object.entries(VERSIONS)) {
  const requirements = join(TESTS, `requirements-${version}.txt`);
  const { python, skip } = await findPython(`sdk-python-${version}`, requirements);

  describe(`the official Python SDK ${version}`, { skip }, () => {
    let folder: string;
    let server: TestServer;
    const versions = new Set<string | undefined>();
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vitrine-sdk-'));
      await writeFile(join(folder, 'categories.json'), JSON.stringify(CATEGORIES));
      server = await startServer({ VITRINE_PRODUCT_CATEGORIES: join(folder, 'categories.json') });
      server.app.http.server.on('request', ({ headers }) =>
        versions.add(headers['x-moov-version']?.toString()),
      );
      await createPictures(join(folder, 'images'));
      await createPictures(join(folder, 'products'), PICTURES);
    });
    after(async () => {
      await server.close();
      await rm(folder, { recursive: true });
    });

    for (const room of ['images', 'products']) {
      test(`passes the tests of ${room}`, async () => {
        const child = spawn(python ?? '', ['-B', '-m', 'unittest', '--verbose', `test_${room}`], {
          cwd: TESTS,
          env: {
            ...process.env,
            MOOV_URL: server.url,
            MOOV_ACCOUNT: ACCOUNT,
            MOOV_PUBLIC_KEY: KEY.publicKey,
            MOOV_SECRET_KEY: KEY.secretKey,
            MOOV_PICTURES: join(folder, room),
          },
        });
        const [output] = await Promise.all([text(child.stderr), once(child, 'exit')]);
        assert.equal(child.exitCode, 0, output);
        // Without tests, the runner would succeed as well.
        assert.match(output, /^Ran (?:[7-9]|\d\d) tests/m);
        assert.match(output, /^OK$/m);
      });
    }

    test('names its version of the API in every request', () => {
      assert.deepEqual([...versions], [apiVersion]);
    });
  });
}

/**
 * Fills a new folder with different pictures, in each of the three formats.
 * @param start the number of the first one.
 */
async function createPictures(folder: string, start = 0): Promise<void> {
  await mkdir(folder);
  const formats = ['jpeg', 'png', 'webp'] as const;
  for (let number = start; number < start + PICTURES; number += 1) {
    const format = formats[number % formats.length] ?? 'png';
    const background = { r: 10 * number, g: 200, b: 60 };
    const create = { width: 300 + number, height: 200, channels: 3 as const, background };
    await sharp({ create })
      .toFormat(format)
      .toFile(join(folder, `${100 + number}.${format}`));
  }
}
