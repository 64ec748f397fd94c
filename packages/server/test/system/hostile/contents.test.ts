/**
 * Damaged files, files of other formats, and pictures with hidden content, sent to a server in a separate
 * process.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DAMAGED_FILES, otherFormats, TRUNCATED } from './damaged.ts';
import { assertHealthy, findFaults, TWO_AT_ONCE } from './faults.ts';
import { MALFORMED_EXIF, POLYGLOTS, PRIVATE_METADATA, RARE_JPEGS } from './hidden-content.ts';
import { type HostileServer, startProcess } from './server-process.ts';

let server: HostileServer;

before(async () => {
  server = await startProcess();
});
after(() => server.close());

describe('the server', () => {
  for (const [name, specimens] of Object.entries({
    'refuses truncated pictures': TRUNCATED,
    'refuses damaged pictures': DAMAGED_FILES,
    'removes scripts and archives from pictures': POLYGLOTS,
    'removes private metadata from pictures': PRIVATE_METADATA,
    'converts or refuses rare kinds of JPEG': RARE_JPEGS,
  })) {
    test(name, async () => {
      assert.deepEqual(await findFaults(server, specimens, TWO_AT_ONCE), []);
    });
  }

  test('accepts pictures with malformed EXIF', async () => {
    assert.deepEqual(await findFaults(server, MALFORMED_EXIF, TWO_AT_ONCE, ['?size=0x50']), []);
  });

  test('refuses files of other formats with the file name of a PNG', async () => {
    assert.deepEqual(await findFaults(server, await otherFormats(), TWO_AT_ONCE), []);
  });

  test('stays healthy and within its memory', async (t) => {
    t.diagnostic(await assertHealthy(server));
  });
});
