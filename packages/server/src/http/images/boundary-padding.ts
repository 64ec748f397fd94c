/**
 * Removes white space behind the boundaries of a multipart body. RFC 2046 allows it (section 5.1.1, transport
 * padding). The parser takes such a part for one without headers and drops it.
 */
import { Transform, type TransformCallback } from 'node:stream';

/** The most padding that is removed, in bytes. */
const MAX_PADDING = 1_024;
const SPACE = 0x20;
const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;

export class BoundaryPadding extends Transform {
  /** A line break, two dashes and the boundary. */
  readonly #delimiter: Buffer;
  /** The end of the bytes so far. It may be the beginning of a delimiter with padding. */
  // The first delimiter needs no line break. The parser ignores everything before it.
  #rest: Buffer = Buffer.from('\r\n');
  #count = 0;
  #endsLinesWithLF = false;

  /** @param contentType the header, which has a boundary. */
  constructor(contentType: string) {
    super();
    const [, quoted, token = ''] = /boundary\s*=\s*(?:"([^"]*)"|([^\s;]+))/i.exec(contentType) ?? [];
    this.#delimiter = Buffer.from(`\r\n--${quoted ?? token}`, 'latin1');
  }

  /** The number of boundaries so far. */
  get count(): number {
    return this.#count;
  }

  /** True if a line with a boundary ends without CR. The form is invalid then. */
  get endsLinesWithLF(): boolean {
    return this.#endsLinesWithLF;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const { length } = this.#delimiter;
    let from = 0;
    for (;;) {
      const start = bytes.indexOf(this.#delimiter, from);
      if (start < 0) {
        this.#keep(bytes, from, this.#startOfPart(bytes, Math.max(from, bytes.length - length + 1)));
        done();
        return;
      }
      let end = start + length;
      while (bytes[end] === SPACE || bytes[end] === TAB) end += 1;
      const padding = end - start - length;
      // Only a line break shows that the white space is padding.
      if (end === bytes.length && padding <= MAX_PADDING) {
        this.#keep(bytes, from, start);
        done();
        return;
      }
      this.#count += 1;
      if (bytes[end] === LF) this.#endsLinesWithLF = true;
      this.push(bytes.subarray(from, start + length));
      from = bytes[end] === CR && padding <= MAX_PADDING ? end : start + length;
    }
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#rest);
  }

  /** Where a part of a delimiter begins that reaches the end of the bytes; their length if there is none. */
  #startOfPart(bytes: Buffer, from: number): number {
    for (let start = bytes.indexOf(CR, from); start >= 0; start = bytes.indexOf(CR, start + 1)) {
      if (bytes.subarray(start).equals(this.#delimiter.subarray(0, bytes.length - start))) return start;
    }
    return bytes.length;
  }

  /** Passes the bytes before `to`, and keeps the others for the next chunk. */
  #keep(bytes: Buffer, from: number, to: number): void {
    if (to > from) this.push(bytes.subarray(from, to));
    this.#rest = bytes.subarray(to);
  }
}
