/**
 * Says what a file of an unsupported format is, and what its sender can do. Only the first bytes decide. They
 * choose a message and nothing else: no such file is decoded.
 */
import { IMAGE_FORMAT_NAMES } from '../../image.ts';

/** The bytes at the beginning of a file that are looked at. */
const HEAD_BYTES = 4_096;

const CONVERT = `convert it to ${IMAGE_FORMAT_NAMES}`;
const EXPORT = `export it as ${IMAGE_FORMAT_NAMES}`;
const SEND_PICTURE = `send a ${IMAGE_FORMAT_NAMES} picture`;

interface Kind {
  /** The name for people, with its article. */
  readonly name: string;
  readonly advice: string;
}

interface Signature extends Kind {
  /** The first bytes, as Latin-1. A `?` matches any byte. */
  readonly bytes: string;
}

const picture = (name: string, ...beginnings: string[]): Signature[] =>
  beginnings.map((bytes) => ({
    bytes,
    name: `${/^([AEIO]|MNG)/.test(name) ? 'an' : 'a'} ${name} picture`,
    advice: CONVERT,
  }));
const other = (name: string, advice: string, ...beginnings: string[]): Signature[] =>
  beginnings.map((bytes) => ({ bytes, name, advice }));

/** The first match counts. */
const SIGNATURES: readonly Signature[] = [
  ...picture('GIF', 'GIF87a', 'GIF89a'),
  ...picture('Canon raw (CR2)', 'II*\0????CR'),
  ...picture('TIFF or camera raw', 'II*\0', 'MM\0*', 'II+\0', 'MM\0+'),
  ...picture('Panasonic raw (RW2)', 'IIU\0'),
  ...picture('Olympus raw (ORF)', 'IIRO', 'IIRS', 'MMOR'),
  ...picture('Fujifilm raw (RAF)', 'FUJIFILMCCD-RAW'),
  ...picture('JPEG 2000', '\0\0\0\x0cjP  ', '\xff\x4f\xff\x51'),
  ...picture('JPEG XL', '\xff\x0a', '\0\0\0\x0cJXL '),
  ...picture('Photoshop', '8BPS'),
  ...picture('GIMP', 'gimp xcf'),
  ...picture('QOI', 'qoif'),
  ...picture('OpenEXR', '\x76\x2f\x31\x01'),
  ...picture('Radiance HDR', '#?RADIANCE', '#?RGBE'),
  ...picture(
    'Netpbm (PBM, PGM or PPM)',
    ...[1, 2, 3, 4, 5, 6].flatMap((n) => [`P${n}\n`, `P${n} `, `P${n}\r`]),
  ),
  ...picture('JPEG XR', 'II\xbc\x01', 'II\xbc\0'),
  ...picture('MNG', '\x8aMNG\r\n\x1a\n', '\x8bJNG\r\n\x1a\n'),
  ...picture('DDS', 'DDS \x7c\0\0\0'),
  ...picture('macOS icon', 'icns'),
  ...picture('Windows metafile (WMF)', '\xd7\xcd\xc6\x9a'),
  // Before icons, which may have the same first bytes.
  ...other('a video', SEND_PICTURE, '????moov', '????mdat', '????wide'),
  ...picture('Windows icon', '\0\0\x01\0', '\0\0\x02\0'),
  ...picture('BMP', 'BM????\0\0\0\0'),
  ...other('a PDF document', EXPORT, '%PDF-', '\xef\xbb\xbf%PDF-'),
  ...other('a PostScript file', EXPORT, '%!PS', '\xc5\xd0\xd3\xc6'),
  ...other(
    'a ZIP archive, or a document of an office program',
    `unpack or export it, and ${SEND_PICTURE}`,
    'PK\x03\x04',
    'PK\x05\x06',
  ),
  ...other(
    'a compressed archive',
    `unpack it, and ${SEND_PICTURE}`,
    '\x1f\x8b',
    'BZh',
    '7z\xbc\xaf\x27\x1c',
    'Rar!\x1a\x07',
    '\xfd7zXZ\0',
    '\x28\xb5\x2f\xfd',
  ),
  ...other(
    'an old document of an office program',
    `export it, and ${SEND_PICTURE}`,
    '\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1',
  ),
  ...other('a video', SEND_PICTURE, '\x1a\x45\xdf\xa3', 'RIFF????AVI ', 'FLV\x01', '\0\0\x01\xba'),
  ...other('a sound', SEND_PICTURE, 'RIFF????WAVE', 'ID3', 'OggS', 'fLaC'),
  ...other('a font', SEND_PICTURE, 'wOFF', 'wOF2', 'OTTO', '\0\x01\0\0'),
  ...other(
    'a file of notes that macOS writes beside a picture ("._" before the name)',
    'send the picture itself',
    '\0\x05\x16\x07',
    '\0\x05\x16\0',
  ),
  ...other(
    'a PNG picture that was changed as if it was text',
    'send its bytes unchanged (binary)',
    '\x89PNG',
    '\xef\xbf\xbdPNG',
    '\xc2\x89PNG',
  ),
  ...other(
    'a picture that was changed as if it was text',
    'send its bytes unchanged (binary)',
    '\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd',
    '\xc3\xbf\xc3\x98\xc3\xbf',
  ),
];

/** Brands of pictures in ISO base media files, by their beginning. The first match counts. */
const PICTURE_BRANDS: readonly (Kind & { readonly brand: RegExp })[] = [
  { brand: /^avi[fs]/, name: 'an AVIF picture', advice: CONVERT },
  {
    brand: /^(hei|hev|mif1|msf1)/,
    name: 'a HEIC picture',
    advice: `${CONVERT}. On an iPhone, choose "Most Compatible" as the camera format`,
  },
  { brand: /^crx /, name: 'a Canon raw (CR3) picture', advice: CONVERT },
];
const SOUND: Kind = { name: 'a sound', advice: SEND_PICTURE };
const VIDEO: Kind = { name: 'a video', advice: SEND_PICTURE };

/** Text files, by what they contain. The first match counts. */
const TEXTS: readonly (Kind & { readonly pattern: RegExp })[] = [
  {
    pattern: /^(<\?xml[\s\S]*|<!--[\s\S]*|<!doctype svg[\s\S]*)?<svg[\s/>]/i,
    name: 'an SVG drawing',
    advice: EXPORT,
  },
  {
    pattern: /^(<\?xml[\s\S]*|<!--[\s\S]*)?<(!doctype html|html|head|body|script|title)[\s>]/i,
    name: 'an HTML page',
    advice: `${SEND_PICTURE}, not the page that shows it or an error page`,
  },
  { pattern: /^<(\?xml|[a-z])/i, name: 'an XML document', advice: SEND_PICTURE },
  {
    pattern: /^version https:\/\/git-lfs/,
    name: 'a pointer of Git LFS',
    advice: 'get the file itself with "git lfs pull"',
  },
  { pattern: /^data:/i, name: 'a data URL', advice: 'decode it, and send the bytes' },
  { pattern: /^https?:\/\//i, name: 'a URL', advice: 'download the picture, and send its bytes' },
  {
    pattern: /^(iVBORw0KGgo|\/9j\/|UklGR)[\w+/=\s-]*$/,
    name: 'a picture as base64 text',
    advice: 'decode it, and send the bytes',
  },
  { pattern: /^(\{\s*["}]|\[\s*["{[\]\d])/, name: 'a JSON document', advice: SEND_PICTURE },
  { pattern: /^/, name: 'a text', advice: `${SEND_PICTURE}. With curl, write -F image=@FILE` },
];

/** The beginnings of the supported formats. A file that is a part of one was cut off. */
const BEGINNINGS = ['\x89PNG\r\n\x1a\n', '\xff\xd8\xff', 'RIFF'];
/** The length of the beginning of a WebP, in bytes. */
const WEBP_BEGINNING = 12;

/** A sentence for the sender: what the file is, and what to do. */
export function describeUnsupported(file: Buffer): string {
  if (file.length === 0) return `the file is empty: ${SEND_PICTURE}`;
  const head = file.subarray(0, HEAD_BYTES);
  const start = head.toString('latin1');
  const isCutWebp = start.startsWith('RIFF') && start.length < WEBP_BEGINNING;
  if (isCutWebp || BEGINNINGS.some((beginning) => beginning.startsWith(start))) {
    return `the file is incomplete: it ends after ${file.length} bytes. Send the whole ${IMAGE_FORMAT_NAMES} picture`;
  }
  const kind = kindOfBrand(head) ?? SIGNATURES.find(({ bytes }) => matches(start, bytes)) ?? kindOfText(head);
  if (kind === undefined) return `the file is not a ${IMAGE_FORMAT_NAMES} picture`;
  const { name, advice } = kind;
  const accepted = advice.includes(IMAGE_FORMAT_NAMES) ? '' : `. Only ${IMAGE_FORMAT_NAMES} is accepted`;
  return `the file is ${name}: ${advice}${accepted}`;
}

function matches(start: string, bytes: string): boolean {
  if (start.length < bytes.length) return false;
  for (let i = 0; i < bytes.length; i += 1) if (bytes[i] !== '?' && bytes[i] !== start[i]) return false;
  return true;
}

/** An ISO base media file begins with a box of type `ftyp`: the main brand and the compatible ones. */
function kindOfBrand(head: Buffer): Kind | undefined {
  if (head.length < 12 || head.toString('latin1', 4, 8) !== 'ftyp') return undefined;
  const end = Math.min(head.readUInt32BE(0), head.length);
  const main = head.toString('latin1', 8, 12);
  const brands = [main];
  for (let at = 16; at + 4 <= end; at += 4) brands.push(head.toString('latin1', at, at + 4));
  // `mif1` is the main brand of some AVIF files, so the more exact brands come first.
  const kind = PICTURE_BRANDS.find(({ brand }) => brands.some((each) => brand.test(each)));
  return kind ?? (/^M4[AB] /.test(main) ? SOUND : VIDEO);
}

/** Undefined if the beginning is not text in UTF-8 or UTF-16. */
function kindOfText(head: Buffer): Kind | undefined {
  const mark = head.toString('latin1', 0, 2);
  const encoding = mark === '\xff\xfe' ? 'utf-16le' : mark === '\xfe\xff' ? 'utf-16be' : 'utf-8';
  // The last character of the head may be cut off.
  const text = new TextDecoder(encoding).decode(head, { stream: true }).trimStart();
  // Control characters other than tab and line breaks, and the replacement character.
  if (/[\0-\x08\x0b\x0e-\x1f\x7f\ufffd]/.test(text)) return undefined;
  return TEXTS.find(({ pattern }) => pattern.test(text));
}
