/**
 * The set-up of tests of client commands. A test has a user who is logged in to one account, or two accounts
 * to copy between.
 */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach } from 'node:test';
import { createAccount } from './administration.ts';
import { User } from './command.ts';
import { picture } from './sample.ts';
import { type ImageJSON, startServer, type TestServer } from './server.ts';

interface AccountSetup {
  readonly server: TestServer;
  readonly user: User;
  /** The account of the current test. */
  readonly account: string;
  /** Uploads the picture with this number to the account. */
  addImage(number: number, altText?: string): Promise<ImageJSON>;
}

/**
 * Registers hooks for one server and one user in a suite. The user is logged in to a new account in each
 * test.
 * @param env adds to the configuration of the server.
 */
export function setUpAccount(env: Record<string, string> = {}): AccountSetup {
  let server: TestServer;
  let user: User;
  let account: string;
  before(async () => {
    server = await startServer(env);
    user = await User.create();
  });
  after(async () => {
    await user.remove();
    await server.close();
  });
  beforeEach(async () => {
    account = await createAccount(server);
    await user.login(server.url, { account });
  });
  return {
    get server() {
      return server;
    },
    get user() {
      return user;
    },
    get account() {
      return account;
    },
    async addImage(number, altText) {
      return server.addImage(await picture(number), { account, ...(altText && { metadata: { altText } }) });
    },
  };
}

interface CopySetup {
  readonly server: TestServer;
  /** A new user in each test, without profiles. */
  readonly user: User;
  /** Two new accounts in each test. */
  readonly accounts: Accounts;
  /** The path of a folder that does not exist yet. */
  readonly folder: string;
}

/** Registers hooks for one server in a suite. Each test has a new user and two new accounts. */
export function setUpCopy(): CopySetup {
  let server: TestServer;
  let user: User;
  let accounts: Accounts;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());
  beforeEach(async () => {
    user = await User.create();
    accounts = await Accounts.create(server);
  });
  afterEach(() => user.remove());
  return {
    get server() {
      return server;
    },
    get user() {
      return user;
    },
    get accounts() {
      return accounts;
    },
    get folder() {
      return join(user.home, 'copy');
    },
  };
}

/** A source account with images, and a target account that becomes its copy. */
class Accounts {
  readonly source: string;
  readonly target: string;
  /** The bytes of each image of the source, by image ID. */
  readonly originals = new Map<string, Buffer>();
  readonly #server: TestServer;

  private constructor(server: TestServer, source: string, target: string) {
    this.#server = server;
    this.source = source;
    this.target = target;
  }

  static async create(server: TestServer): Promise<Accounts> {
    return new Accounts(server, await createAccount(server), await createAccount(server));
  }

  async imagesOf(account: string): Promise<ImageJSON[]> {
    const response = await this.#server.fetch(`/accounts/${account}/images?count=200`);
    return (await response.json()) as ImageJSON[];
  }

  /**
   * Adds images to the source. Some have an alt text, a focal point, tags, no file name, or are disabled.
   */
  async fillSource(count: number): Promise<void> {
    for (let number = 0; number < count; number += 1) {
      const bytes = await picture(number);
      const metadata = {
        ...(number % 3 === 0 && { altText: `Picture ${number}` }),
        ...(number % 5 === 1 && { focalPoint: { x: 0.25, y: number / 16 } }),
        ...(number % 2 === 0 && { tags: ['Été', `tag ${number}`] }),
        fileName: number % 3 === 1 ? null : `foto ${number}.jpg`,
      };
      const { imageID } = await this.#server.addImage(bytes, { account: this.source, metadata });
      this.originals.set(imageID, bytes);
      if (number % 4 === 0) await this.disableInSource(imageID);
    }
  }

  async disableInSource(imageID: string): Promise<void> {
    await this.#server.fetch(`/accounts/${this.source}/images/${imageID}`, { method: 'DELETE' });
  }

  /** Asserts that the target has every image of the source once, with the same metadata. */
  async assertCopied(): Promise<void> {
    const [source, target] = [await this.imagesOf(this.source), await this.imagesOf(this.target)];
    assert.equal(target.length, source.length);
    assert.deepEqual(metadataOf(target), metadataOf(source));
  }
}

/** Intercepts requests for originals with a 404, like a server without that operation. */
export function rejectOriginals(request: IncomingMessage, response: ServerResponse): boolean {
  if (!request.url?.endsWith('/original')) return false;
  response.writeHead(404).end('{"error":"no such route"}');
  return true;
}

function metadataOf(images: readonly ImageJSON[]): string[] {
  return images
    .map(({ altText, focalPoint, tags, fileName, disabledOn }) =>
      JSON.stringify([altText, focalPoint, tags, fileName, disabledOn !== undefined]),
    )
    .sort();
}
