/**
 * Pictures that are broken, none at all, or more than they look like, sent to a server in a process of its own.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DAMAGED_FILES, otherFormats, TRUNCATED } from './broken.ts';
import { CARRIERS, EXIF_ABUSE, EXOTIC_JPEGS, POLYGLOTS } from './carriers.ts';
import { assertUnharmed, faultsOf, TOGETHER } from './judge.ts';
import { type HostileServer, startProcess } from './process.ts';

let server: HostileServer;

before(async () => {
  server = await startProcess();
});
after(() => server.close());

describe('pictures', () => {
  for (const [kind, specimens] of Object.entries({
    'that are cut off are refused, wherever it is': TRUNCATED,
    'that are damaged are refused': DAMAGED_FILES,
    'that are scripts or archives as well come out as pictures alone': POLYGLOTS,
    'that carry what is nobody’s business come out without it': CARRIERS,
    'of the rarer kinds of JPEG come as all can show them, or are refused': EXOTIC_JPEGS,
  })) {
    test(kind, async () => {
      assert.deepEqual(await faultsOf(server, specimens, TOGETHER), []);
    });
  }

  test('with EXIF that parsers choke on are pictures like others', async () => {
    assert.deepEqual(await faultsOf(server, EXIF_ABUSE, TOGETHER, ['?size=0x50']), []);
  });

  test('that are none, under the name of one, are refused', async () => {
    assert.deepEqual(await faultsOf(server, await otherFormats(), TOGETHER), []);
  });

  test('leave the serving process and its workers as they were, within their memory', async (t) => {
    t.diagnostic(await assertUnharmed(server));
  });
});
