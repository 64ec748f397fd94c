/**
 * Runs the tests of the HTTP API and of the SDKs against three nodes over PostgreSQL and S3, behind HAProxy.
 *
 * Usage: npm run test:nodes -- [ROOM or FILE]... [--test-OPTION of node]...
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { startS3 } from '../../packages/server/test/blobs/s3-servers.ts';
import { startOwnPostgres } from '../../packages/server/test/support/postgres.ts';
import { ROOT } from './files.ts';

/** What a client can see of a library. The other rooms of http are about one node. */
const SUITES = [
  'packages/server/test/http/{access,catalog,delivery,images}/*.test.ts',
  'packages/server/test/http/shared/cors.test.ts',
  'packages/server/test/http/system/public-paths.test.ts',
  'packages/server/test/http/examples.test.ts',
  'packages/server/test/system/sdk/*.test.ts',
];

async function main(parameters: readonly string[]): Promise<number> {
  const [{ postgres, skip }, { s3, skip: skipS3 }] = await Promise.all([startOwnPostgres(), startS3()]);
  try {
    if (postgres === undefined || s3 === undefined) {
      process.stderr.write(`${skip || skipS3}\n`);
      return 1;
    }
    const options = parameters.filter((each) => each.startsWith('--'));
    const words = parameters.filter((each) => !options.includes(each));
    const files = words.length > 0 ? words : globSync(SUITES, { cwd: ROOT });
    const run = ['--conditions=vitrine-source', join(import.meta.dirname, 'run.ts')];
    const child = spawn(process.execPath, [...run, ...files, ...options], {
      env: {
        ...process.env,
        TEST_NODES: '3',
        TEST_POSTGRES_URL: postgres.url,
        TEST_S3_ENDPOINT: s3.endpoint,
        TEST_S3_BUCKET: await s3.createBucket(),
      },
      stdio: 'inherit',
    });
    // The tests end by themselves. Then the servers here can stop.
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => child.kill());
    const [code] = (await once(child, 'exit')) as [number | null];
    return code ?? 1;
  } finally {
    await s3?.stop();
    await postgres?.stop();
  }
}

process.exit(await main(process.argv.slice(2)));
