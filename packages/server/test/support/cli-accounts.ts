/**
 * Two accounts of one server for the tests of moving: one that is filled, and one that is to become the same.
 */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createAccount } from './administration.ts';
import { picture } from './sample.ts';
import type { ImageJSON, TestServer } from './server.ts';

export class Accounts {
  readonly source: string;
  readonly target: string;
  /** What was uploaded to the source, by image. */
  readonly originals = new Map<string, Buffer>();
  readonly #server: TestServer;

  private constructor(server: TestServer, source: string, target: string) {
    this.#server = server;
    this.source = source;
    this.target = target;
  }

  static async make(server: TestServer): Promise<Accounts> {
    return new Accounts(server, await createAccount(server), await createAccount(server));
  }

  async imagesOf(account: string): Promise<ImageJSON[]> {
    const answer = await this.#server.fetch(`/accounts/${account}/images?count=200`);
    return (await answer.json()) as ImageJSON[];
  }

  /** Fills the source; each third image has an alt text, each fourth is disabled, each fifth has a focal point. */
  async fill(count: number): Promise<void> {
    for (let number = 0; number < count; number += 1) {
      const bytes = await picture(number);
      const metadata = {
        ...(number % 3 === 0 && { altText: `Picture ${number}` }),
        ...(number % 5 === 1 && { focalPoint: { x: 0.25, y: number / 16 } }),
      };
      const { imageID } = await this.#server.addImage(bytes, { account: this.source, metadata });
      this.originals.set(imageID, bytes);
      if (number % 4 === 0) await this.disable(imageID);
    }
  }

  async disable(imageID: string): Promise<void> {
    await this.#server.fetch(`/accounts/${this.source}/images/${imageID}`, { method: 'DELETE' });
  }

  /** Neither a duplicate nor a hole, and everything as it is in the source. */
  async checkCopied(): Promise<void> {
    const [from, to] = [await this.imagesOf(this.source), await this.imagesOf(this.target)];
    assert.equal(to.length, from.length);
    assert.deepEqual(statesOf(to), statesOf(from));
  }
}

/** No route for originals, in place of a server that has it. */
export function giveNoOriginals(request: IncomingMessage, response: ServerResponse): boolean {
  if (!request.url?.endsWith('/original')) return false;
  response.writeHead(404).end('{"error":"no such route"}');
  return true;
}

function statesOf(images: readonly ImageJSON[]): string[] {
  return images
    .map(({ altText, focalPoint, disabledOn }) =>
      JSON.stringify([altText, focalPoint, disabledOn !== undefined]),
    )
    .sort();
}
