/**
 * Oddities of JPEG that cost no pixel are accepted, and those that do are refused. libjpeg only warns of
 * both.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import * as pictures from '../support/pictures.ts';
import { openStudio, type Studio } from './studio.ts';

let studio: Studio;
let baseline: Buffer;
let progressive: Buffer;
let grey: Buffer;
let cmyk: Buffer;

before(async () => {
  const size = { width: 160, height: 120 } as const;
  studio = await openStudio();
  const photo = () => pictures.photo(size);
  [baseline, progressive, grey, cmyk] = await Promise.all([
    photo().jpeg({ quality: 90 }).toBuffer(),
    photo().jpeg({ progressive: true }).toBuffer(),
    photo().greyscale().toColourspace('b-w').jpeg().toBuffer(),
    photo().toColourspace('cmyk').jpeg().toBuffer(),
  ]);
});
after(() => studio.close());

/** 64 x 64 pixels, with restart markers between its four rows of blocks. sharp cannot write such a file. */
const WITH_RESTARTS = Buffer.from(
  [
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19i',
    'Z2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj',
    'Y2NjY2NjY2P/wAARCABAAEADASIAAhEBAxEB/8QAGAABAQEBAQAAAAAAAAAAAAAAAwIGBAX/xAAeEAEBAAICAwEBAAAAAAAAAAAC',
    'AAEhEVExQWGRgf/EABgBAQEBAQEAAAAAAAAAAAAAAAQDBQAB/8QAFhEBAQEAAAAAAAAAAAAAAAAAAgAB/90ABAAE/9oADAMBAAIR',
    'AxEAPwDEkdTEaqJlAvDtwdBPzmUCsjmYCQdlBxgcSkaxqsiUH5XOyg6CMceOZiN1Ec49ykdVzsoO/9DMEfJQMeKyJSM80jsUOkj3',
    'LgbqI3MR1IOyg6AOdy4GuawPyUiudkh0YEpG/FZHHqUiudlF3//R8gjXyUj+1kY4lI+bjHbKDoI3KRWRxMRXOyg6CJSKgO5iPyQd',
    'lBxkdTE4rwJCNVzsoO//0ucmUj3WB8lI7xCO2AHSR4lI/KiJiN63IOyg6COfUpFZHcpFc7JDoIziUisjuUiudlB3/9k=',
  ].join(''),
  'base64',
);

/** The picture is accepted, and its renditions are those of the plain file. */
async function assertSame(file: Buffer, plain: Buffer, what: string): Promise<void> {
  await studio.ingest(file).catch((error: unknown) => assert.fail(`${what}: ${error}`));
  for (const width of [0, 20]) {
    const actual = await studio.render(file, 'png', { width });
    assert.ok(actual.equals(await studio.render(plain, 'png', { width })), `${what}: other pixels`);
  }
}

async function assertDamaged(file: Buffer, what: string): Promise<void> {
  const reason = await studio.refusal(file).catch((error: unknown) => assert.fail(`${what}: ${error}`));
  assert.match(reason, /damaged|incomplete/, what);
}

function insert(file: Buffer, at: number, bytes: Iterable<number>): Buffer {
  return Buffer.concat([file.subarray(0, at), Buffer.from([...bytes]), file.subarray(at)]);
}

function set(file: Buffer, at: number, ...bytes: number[]): Buffer {
  const copy = Buffer.from(file);
  copy.set(bytes, at);
  return copy;
}

function dataStart(file: Buffer): number {
  const scan = pictures.jpegMarker(file, 0xda);
  return scan + 2 + file.readUInt16BE(scan + 2);
}

/** The places of the restart markers. */
function restarts(file: Buffer): number[] {
  const places: number[] = [];
  for (let at = dataStart(file); at < file.length - 1; at += 1) {
    const next = file[at + 1] ?? 0;
    if (file[at] === 0xff && next >= 0xd0 && next <= 0xd7) places.push(at);
  }
  return places;
}

function adobe(transform: number, { version = 100, bytes = 12 } = {}): number[] {
  return [0xff, 0xee, 0, 2 + bytes, ...Buffer.from('Adobe'), 0, version, 0, 0, 0, 0, transform].slice(
    0,
    4 + bytes,
  );
}

function jfif(major: number, minor: number, bytes = 14): number[] {
  return [0xff, 0xe0, 0, 2 + bytes, ...Buffer.from('JFIF\0'), major, minor, 0, 0, 1, 0, 1, 0, 0].slice(
    0,
    4 + bytes,
  );
}

const PADDING: Readonly<Record<string, readonly number[]>> = {
  'a zero': [0],
  'two zeros': [0, 0],
  'eight zeros': Array.from({ length: 8 }, () => 0),
  'forty zeros': Array.from({ length: 40 }, () => 0),
  'a fill byte': [0xff],
  'ten fill bytes': Array.from({ length: 10 }, () => 0xff),
  'bytes of ones': [0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0],
};

describe('a JPEG is accepted with the same pixels', () => {
  test('with unusual parameters of its scan, as some cameras write them', async () => {
    for (const file of [baseline, grey]) {
      const at = dataStart(file) - 3;
      for (const limits of [
        [0, 0, 0],
        [0, 63, 1],
        [1, 5, 0],
        [0, 62, 0],
      ])
        await assertSame(set(file, at, ...limits), file, `SOS ${limits}`);
    }
  });

  test('with unusual versions and codes of JFIF and Adobe', async () => {
    for (const [major, minor] of [
      [2, 1],
      [0, 0],
      [1, 99],
      [255, 255],
    ] as const)
      await assertSame(insert(baseline, 2, jfif(major, minor)), baseline, `JFIF ${major}.${minor}`);
    for (const transform of [1, 2, 3, 99, 255])
      await assertSame(insert(baseline, 2, adobe(transform)), baseline, `Adobe ${transform}`);
    await assertSame(insert(baseline, 2, adobe(1, { version: 7 })), baseline, 'Adobe version');
    await assertSame(insert(baseline, 2, adobe(0, { bytes: 10 })), baseline, 'short Adobe');
    await assertSame(insert(baseline, 2, [...adobe(0), ...adobe(1)]), baseline, 'the last Adobe counts');
    await assertSame(insert(baseline, 2, [...jfif(1, 1), ...adobe(0)]), baseline, 'JFIF before Adobe');
    const rgb = insert(baseline, 2, adobe(0));
    await assertSame(insert(rgb, 2, jfif(1, 1, 12)), rgb, 'a short JFIF does not count');
    const at = cmyk.indexOf('Adobe') + 11;
    const ycck = set(cmyk, at, 2);
    for (const transform of [1, 3, 255])
      await assertSame(set(cmyk, at, transform), ycck, `CMYK, Adobe ${transform}`);
    assert.notDeepEqual(
      await sharp(ycck).raw().toBuffer(),
      await sharp(cmyk).raw().toBuffer(),
      'the codes must differ, or the test proves nothing',
    );
  });

  test('with padding before markers', async () => {
    const places = restarts(WITH_RESTARTS);
    assert.equal(places.length, 3);
    const betweenScans = progressive.indexOf(Buffer.from([0xff, 0xc4]), dataStart(progressive));
    for (const [what, bytes] of Object.entries(PADDING)) {
      let all: Buffer = WITH_RESTARTS;
      for (const place of places.toReversed()) {
        await assertSame(
          insert(WITH_RESTARTS, place, bytes),
          WITH_RESTARTS,
          `${what} before a restart marker`,
        );
        all = insert(all, place, bytes);
      }
      await assertSame(all, WITH_RESTARTS, `${what} before each restart marker`);
      await assertSame(insert(baseline, baseline.length - 2, bytes), baseline, `${what} before the end`);
      await assertSame(
        insert(progressive, progressive.length - 2, bytes),
        progressive,
        `${what}, progressive`,
      );
      await assertSame(insert(progressive, betweenScans, bytes), progressive, `${what} between scans`);
      const header = pictures.jpegMarker(baseline, 0xc0);
      await assertSame(insert(baseline, header, bytes), baseline, `${what} between segments`);
    }
    const scan = insert(baseline, pictures.jpegMarker(baseline, 0xc4), Buffer.from('junk'));
    await assertSame(scan, baseline, 'junk between segments');
    await assertSame(
      insert(baseline, baseline.length - 2, [0xff, 0xd0]),
      baseline,
      'a restart marker at the end',
    );
  });

  test('with the trailers of vendors', async () => {
    for (const trailer of [
      Buffer.from('SEFH\0\0'),
      Buffer.concat([Buffer.alloc(99), progressive]),
      Buffer.from([0xff, 0xd9]),
      Buffer.from([0xff]),
      Buffer.from('\0\0\0\x1cftypmp42'),
    ])
      await assertSame(Buffer.concat([baseline, trailer]), baseline, 'a trailer');
  });
});

describe('a JPEG is refused', () => {
  test('if data is missing, also behind padding', async () => {
    const [first = 0, second = 0] = restarts(WITH_RESTARTS);
    const cut = (file: Buffer, at: number, bytes: number) =>
      Buffer.concat([file.subarray(0, at - bytes), file.subarray(at)]);
    await assertDamaged(cut(WITH_RESTARTS, second, 2), 'two bytes before a restart marker');
    await assertDamaged(cut(WITH_RESTARTS, second + 2, 2), 'a restart marker');
    await assertDamaged(cut(WITH_RESTARTS, second, second - first), 'one interval');
    await assertDamaged(cut(baseline, baseline.length - 2, 10), 'ten bytes before the end');
    await assertDamaged(progressive.subarray(0, -2), 'the end marker, progressive');
    await assertDamaged(insert(baseline, baseline.length - 600, [0xff, 0xd0]), 'a restart marker inside');
    for (const bytes of Object.values(PADDING)) {
      await assertDamaged(insert(cut(WITH_RESTARTS, second, 9), second - 9, bytes), 'data before padding');
      await assertDamaged(
        insert(cut(baseline, baseline.length - 2, 20), baseline.length - 22, bytes),
        'the end',
      );
    }
  });

  test('if zeros replace its data', async () => {
    const [first = 0, second = 0] = restarts(WITH_RESTARTS);
    for (const bytes of [4, 20, 60, second - first - 3]) {
      const holed = Buffer.from(WITH_RESTARTS);
      holed.fill(0, second - bytes, second);
      await assertDamaged(holed, `${bytes} zeros before a restart marker`);
      // At the end of a scan, the decoder cannot tell a few zeros from data.
      if (bytes < 40) continue;
      const end = Buffer.from(baseline);
      end.fill(0, end.length - 2 - bytes, end.length - 2);
      await assertDamaged(end, `${bytes} zeros before the end`);
      const last = Buffer.from(progressive);
      last.fill(0, last.length - 2 - bytes, last.length - 2);
      await assertDamaged(last, `${bytes} zeros before the end, progressive`);
    }
  });

  test('if other bytes are between data and a marker, as damage leaves them', async () => {
    const [, second = 0] = restarts(WITH_RESTARTS);
    const junk = Buffer.from('0123456789abcdef');
    await assertDamaged(insert(WITH_RESTARTS, second, junk), 'before a restart marker');
    const wrong = set(WITH_RESTARTS, second + 1, 0xd5);
    await assertDamaged(wrong, 'a restart marker with a wrong number');
  });
});
