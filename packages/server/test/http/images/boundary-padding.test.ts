import assert from 'node:assert/strict';
import { text as textOf } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { BoundaryPadding } from '../../../src/http/images/boundary-padding.ts';

/** The body after the filter, which begins with a line break of its own. */
async function filter(body: string, sizes: readonly number[]): Promise<string> {
  const padding = new BoundaryPadding('multipart/form-data; boundary="b-b"');
  const filtered = textOf(padding);
  let at = 0;
  for (const size of sizes) {
    padding.write(Buffer.from(body.slice(at, at + size)));
    at += size;
  }
  padding.end(Buffer.from(body.slice(at)));
  return filtered;
}

test('removes exactly the white space between a boundary and a line break, however the body is cut', async () => {
  const piece = fc.constantFrom(
    '\r\n--b-b',
    '--b-b',
    '\r\n--',
    '\r\n',
    '\r',
    '\n',
    '-',
    'b',
    ' ',
    '\t',
    'xyz',
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece), fc.array(fc.integer({ min: 1, max: 9 })), async (pieces, sizes) => {
      const body = pieces.join('');
      const expected = `\r\n${body}`.replace(/(\r\n--b-b)[\t ]+(?=\r)/g, '$1');
      assert.equal(await filter(body, sizes), expected);
    }),
    { numRuns: 2_000 },
  );
});

test('keeps white space of more than 1024 bytes, which it would have to hold', async () => {
  for (const length of [1_024, 1_025]) {
    const body = `--b-b${' '.repeat(length)}\r\nx`;
    const filtered = await filter(body, [length]);
    assert.equal(filtered, length > 1_024 ? `\r\n${body}` : '\r\n--b-b\r\nx');
  }
});
