/**
 * Clients that compete on all nodes: for the last places of a quota, and with identical pictures. Each kind
 * has an account of its own.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { createClient, type ImageJSON, uploadForm } from '../../support/client.ts';
import type { Journal } from '../crash/journal.ts';
import type { PictureSet } from '../crash/pictures.ts';
import type { Random } from '../crash/random.ts';
import { type Answer, sendRequest, type TestRequest } from '../crash/requests.ts';
import type { ClusterNode } from './parts/nodes.ts';
import type { Row } from './parts/replicated-postgres.ts';
import type { Traffic } from './traffic.ts';

export interface ContentionOptions {
  /** The URL of the proxy. */
  readonly url: string;
  readonly nodes: readonly ClusterNode[];
  readonly journal: Journal;
  readonly pictures: PictureSet;
  readonly random: Random;
  readonly traffic: Traffic;
  readonly query: (statement: string) => Promise<Row[]>;
}

/** The most enabled images of the account with a quota. */
const QUOTA = 6;
const TWINS = 5;
/** Milliseconds between two turns. */
const PAUSE = 120;
/** Identical uploads at the end, and uploads for the last places. */
const IDENTICAL = 100;
const RIVALS = 30;

export class Contention {
  /** Identical uploads while faults happened. */
  twinCount = 0;
  /** Uploads that the quota refused. */
  refusedCount = 0;
  readonly #options: ContentionOptions;
  readonly #quotaAccount: string;
  readonly #twinAccount: string;
  /** Acknowledged uploads by account. */
  readonly #acknowledged = new Map<string, string>();
  #stopped = false;

  private constructor(options: ContentionOptions, accounts: { quota: string; twins: string }) {
    this.#options = options;
    this.#quotaAccount = accounts.quota;
    this.#twinAccount = accounts.twins;
  }

  static async create(options: ContentionOptions): Promise<Contention> {
    const client = createClient(options.url);
    const add = async (displayName: string, settings: object) => {
      const { status, body } = await client.send('POST', '/accounts', { displayName, ...settings });
      if (status !== 201) throw new Error(`POST /accounts answered ${status} ${JSON.stringify(body)}`);
      return body.accountID as string;
    };
    const quota = await add('quota', { imageQuota: QUOTA });
    return new Contention(options, { quota, twins: await add('twins', {}) });
  }

  async run(): Promise<void> {
    this.#stopped = false;
    await Promise.all([this.#competeForQuota(), this.#competeForQuota(), this.#uploadTwins()]);
  }

  stop(): void {
    this.#stopped = true;
  }

  async #competeForQuota(): Promise<void> {
    const { random, traffic, url } = this.#options;
    const own: string[] = [];
    const path = `/accounts/${this.#quotaAccount}/images`;
    while (!this.#stopped) {
      const imageID = random.pick(own);
      const dice = random.next();
      if (imageID === undefined || dice < 0.5) {
        const answer = await traffic.send(url, this.#createUpload(this.#quotaAccount));
        const created = this.#recordUpload(answer, this.#quotaAccount);
        if (created) own.push(created);
        else this.#countRefusal(answer);
      } else if (dice < 0.75) await traffic.send(url, { method: 'DELETE', path: `${path}/${imageID}` });
      else this.#countRefusal(await traffic.send(url, { method: 'POST', path: `${path}/${imageID}/enable` }));
      await pause(PAUSE);
    }
  }

  /** Several clients upload one picture at the same time. At most one may get 201. */
  async #uploadTwins(): Promise<void> {
    const { traffic, url } = this.#options;
    while (!this.#stopped) {
      const upload = this.#createRepeatedUpload(this.#twinAccount);
      const answers = await Promise.all(Array.from({ length: TWINS }, () => traffic.send(url, upload())));
      this.twinCount += answers.length;
      const created = answers.map((answer) => this.#recordUpload(answer, this.#twinAccount)).filter(Boolean);
      if (created.length > 1) traffic.problems.push(`${created.length} identical uploads were answered 201`);
      await pause(PAUSE);
    }
  }

  #createUpload(account: string): TestRequest {
    return this.#createRepeatedUpload(account)();
  }

  /** Each call gives an upload of the same new picture. */
  #createRepeatedUpload(account: string): () => TestRequest {
    const { journal, pictures } = this.#options;
    const { bytes } = pictures.get(journal.nextNumber());
    return () => ({ method: 'POST', path: `/accounts/${account}/images`, form: uploadForm(bytes) });
  }

  /** @returns the ID of a new image */
  #recordUpload(answer: Answer | undefined, account: string): string | undefined {
    if (answer?.status !== 201) return undefined;
    const { imageID }: ImageJSON = answer.json();
    this.#acknowledged.set(imageID, account);
    return imageID;
  }

  #countRefusal(answer: Answer | undefined): void {
    if (answer?.status !== 400) return;
    if (answer.body.includes('quota exceeded')) this.refusedCount += 1;
    else this.#options.traffic.problems.push(`an upload was answered 400 ${answer.body}`);
  }

  /** Checks that hold at any moment. @returns a sentence for each violation */
  async check(): Promise<string[]> {
    const { query } = this.#options;
    const [enabled] = await query(`select count(*) as n from images
      where account_id = '${this.#quotaAccount}' and disabled_on is null`);
    const duplicates = await query(`select account_id, count(*) as n from images
      group by account_id, digest having count(*) > 1`);
    const problems = duplicates.map(({ account_id, n }) => `account ${account_id} has ${n} equal images`);
    if (Number(enabled?.n) > QUOTA) problems.push(`${enabled?.n} enabled images with a quota of ${QUOTA}`);
    return problems;
  }

  /** Checks without other traffic and without faults. @returns a sentence for each violation */
  async checkAtEnd(): Promise<string[]> {
    const { query } = this.#options;
    const problems = await this.check();
    const stored = new Set((await query('select image_id from images')).map((row) => String(row.image_id)));
    for (const imageID of this.#acknowledged.keys()) {
      if (!stored.has(imageID)) problems.push(`image ${imageID} was acknowledged and is missing`);
    }
    problems.push(...(await this.#checkIdentical()), ...(await this.#checkRivals()));
    return [...problems, ...(await this.check())];
  }

  /** A hundred identical uploads at once, on all nodes: one 201, and 409 for all others. */
  async #checkIdentical(): Promise<string[]> {
    const { statuses, rejected } = await this.#uploadOnAllNodes(
      IDENTICAL,
      this.#createRepeatedUpload(this.#twinAccount),
    );
    const created = statuses.filter((status) => status === 201).length;
    const refused = statuses.filter((status) => status === 409).length;
    // A rejected upload may have happened. Then its repetition gets 409.
    const isExact = created === 1 || (created === 0 && rejected > 0);
    return isExact && created + refused === IDENTICAL
      ? []
      : [`${IDENTICAL} identical uploads were answered ${statuses.join(' ')}`];
  }

  /** More uploads than places, on all nodes. Exactly the quota must be enabled afterwards. */
  async #checkRivals(): Promise<string[]> {
    const { statuses } = await this.#uploadOnAllNodes(RIVALS, () => this.#createUpload(this.#quotaAccount));
    const [row] = await this.#options.query(`select enabled_count as n from accounts
      where account_id = '${this.#quotaAccount}'`);
    const others = statuses.filter((status) => status !== 201 && status !== 400);
    return Number(row?.n) === QUOTA && others.length === 0
      ? []
      : [`${row?.n} enabled images with a quota of ${QUOTA}; ${RIVALS} uploads: ${statuses.join(' ')}`];
  }

  /** Sends uploads at once. An upload that a busy node rejects (429, 503) is sent again. */
  async #uploadOnAllNodes(
    count: number,
    create: () => TestRequest,
  ): Promise<{ statuses: (number | undefined)[]; rejected: number }> {
    const { nodes } = this.#options;
    let rejected = 0;
    const upload = async (_: unknown, index: number) => {
      for (;;) {
        const url = nodes[index % nodes.length]?.url ?? '';
        const status = (await sendRequest(url, create()))?.status;
        if (status !== 429 && status !== 503) return status;
        if (status === 503) rejected += 1;
        await pause(PAUSE);
      }
    };
    return { statuses: await Promise.all(Array.from({ length: count }, upload)), rejected };
  }
}
