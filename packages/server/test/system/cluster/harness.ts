/**
 * Runs clients against a cluster while a seeded schedule breaks its parts. After each fault the records are
 * compared with the journal, and at the end everything is: records, originals, links, quota, duplicates.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { inspectLibrary } from '../crash/check/inspection.ts';
import { runOperatorChecks } from '../crash/check/operator-checks.ts';
import type { PictureSet } from '../crash/pictures.ts';
import { createRandom, type Random } from '../crash/random.ts';
import { Writers } from '../crash/writers.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { Contention } from './contention.ts';
import { FAULTS, type Fault, scheduleFaults } from './faults.ts';
import { createNumberedPictures } from './numbered-pictures.ts';
import { type ReadCounts, Readers } from './readers.ts';
import { TimedJournal } from './timed-journal.ts';
import { type Failure, Traffic } from './traffic.ts';

export interface HarnessOptions {
  /** The number of rounds. A round has one fault, or two of different parts. */
  readonly faults: number;
  /** Chooses the faults and the requests. The order of concurrent requests depends on the machine. */
  readonly seed: number;
  /** The kinds of faults. Default: all. */
  readonly kinds?: readonly string[];
  /** The most milliseconds for which a replaced picture may be shown. */
  readonly bound?: number;
  /** Called after each round. */
  readonly onRound?: (round: RoundReport) => void;
}

export interface RoundReport {
  readonly number: number;
  readonly kinds: readonly string[];
  /** Milliseconds until every part worked again. */
  readonly duration: number;
  /** Writes that were acknowledged in this round. */
  readonly acknowledged: number;
  /** Requests with a good answer, and failed ones. */
  readonly answered: number;
  readonly failures: ReadonlyMap<Failure, number>;
  /** Requests that the proxy sent again. */
  readonly retried: number;
  /** Replaced pictures that readers got. */
  readonly stale: number;
  readonly problems: readonly string[];
}

export interface HarnessReport {
  readonly seed: number;
  readonly rounds: RoundReport[];
  readonly reads: ReadCounts;
  /** Acknowledged writes of the journal. */
  acknowledged: number;
  images: number;
  /** Identical uploads, and uploads that the quota refused. */
  twins: number;
  refused: number;
  /** Repaired rungs and renditions, and removed originals. */
  operatorChecks: { readonly repaired: number; readonly collected: number };
  readonly problems: string[];
  /** What happened, to explain a problem. */
  evidence?: unknown;
}

/** Today's records are cached for 5 s; a node that hears of no changes is at most this late. */
export const BOUND = 6_000;

const WRITERS = 4;
const READERS = 2;
/** Acknowledged writes before a fault begins, and after everything is repaired. */
const ENOUGH = 12;
/** Milliseconds for which a fault lasts. The longest is longer than the deadline of a statement. */
const HOLDS = [500, 2_000, 4_000, 7_000] as const;
/** Milliseconds between two checks of what must hold at any moment. */
const SAMPLE = 500;

export async function runHarness(options: HarnessOptions): Promise<HarnessReport> {
  const cluster = await startCluster();
  try {
    return await new Harness(cluster, options).run();
  } finally {
    await cluster.stop();
  }
}

class Harness {
  readonly #cluster: Cluster;
  readonly #options: HarnessOptions;
  readonly #random: Random;
  readonly #journal = new TimedJournal();
  readonly #traffic = new Traffic();
  readonly #digests = new Map<number, string>();
  readonly #pictures: PictureSet;
  readonly #readers: Readers;
  readonly #report: HarnessReport;

  constructor(cluster: Cluster, options: HarnessOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#random = createRandom(options.seed);
    const pictures = createNumberedPictures();
    this.#pictures = {
      get: (number) => {
        const picture = pictures.get(number);
        this.#digests.set(number, picture.digest);
        return picture;
      },
    };
    this.#readers = new Readers({
      url: cluster.proxy.url,
      nodes: cluster.nodes,
      journal: this.#journal,
      random: createRandom(options.seed + 1),
      traffic: this.#traffic,
      digestOf: (number) => this.#digests.get(number),
      bound: options.bound ?? BOUND,
    });
    this.#report = {
      seed: options.seed,
      rounds: [],
      reads: this.#readers.counts,
      acknowledged: 0,
      images: 0,
      twins: 0,
      refused: 0,
      operatorChecks: { repaired: 0, collected: 0 },
      problems: [],
    };
  }

  async run(): Promise<HarnessReport> {
    const { proxy, nodes, postgres } = this.#cluster;
    const contention = await Contention.create({
      url: proxy.url,
      nodes,
      journal: this.#journal,
      pictures: this.#pictures,
      random: createRandom(this.#options.seed + 2),
      traffic: this.#traffic,
      query: postgres.query,
    });
    const { faults, kinds, onRound } = this.#options;
    const selected = kinds === undefined ? FAULTS : FAULTS.filter(({ kind }) => kinds.includes(kind));
    const schedule = scheduleFaults(this.#random, selected);
    for (let number = 1; number <= faults && this.#report.problems.length === 0; number += 1) {
      const { value = [] } = schedule.next();
      const round = await this.#runRound(number, value, contention);
      this.#report.rounds.push(round);
      this.#report.problems.push(...round.problems);
      onRound?.(round);
    }
    if (this.#report.problems.length === 0)
      this.#report.problems.push(...(await this.#checkAtEnd(contention)));
    this.#report.acknowledged = this.#journal.acknowledgedCount;
    this.#report.images = this.#journal.images.size;
    this.#report.twins = contention.twinCount;
    this.#report.refused = contention.refusedCount;
    if (this.#report.problems.length > 0) this.#report.evidence = this.#collectEvidence();
    return this.#report;
  }

  async #runRound(number: number, faults: readonly Fault[], contention: Contention): Promise<RoundReport> {
    const journal = this.#journal;
    const traffic = this.#traffic;
    const { proxy, nodes } = this.#cluster;
    const kinds = faults.map(({ kind }) => kind);
    const startedAt = performance.now();
    const before = { acknowledged: journal.acknowledgedCount, retried: proxy.retriedCount() };
    const staleBefore = this.#readers.counts.stale;
    traffic.beginPeriod();
    const clients = this.#startClients(number, contention);
    let duration = 0;
    try {
      await this.#writeMore(ENOUGH);
      traffic.cause = `round ${number}: ${kinds.join(' and ')}`;
      traffic.allowed = new Set(faults.flatMap(({ allows }) => allows));
      const faultAt = performance.now();
      await this.#breakAndRepair(faults, contention);
      await this.#cluster.waitUntilReady();
      this.#readers.see();
      duration = performance.now() - faultAt;
      // A connection may still break for a moment, so the failures stay allowed until writes succeed.
      await this.#writeMore(ENOUGH);
      traffic.allowed = new Set();
      traffic.cause = `after ${kinds.join(' and ')}`;
    } catch (error) {
      const nodesOutput = nodes.map(({ name, output }) => `${name}: ${output().slice(-1_500)}`).join('\n');
      traffic.problems.push(`${kinds.join(' and ')}: ${String(error)}\n${nodesOutput}`);
    } finally {
      await clients.stop();
    }
    const problems = traffic.problems.splice(0);
    // A comparison needs a cluster that works.
    if (problems.length === 0) {
      const compared = this.#compare().catch((error: unknown) => [`the comparison failed: ${String(error)}`]);
      problems.push(...(await compared), ...(await contention.check()));
    }
    return {
      number,
      kinds,
      duration: problems.length === 0 ? duration : performance.now() - startedAt,
      acknowledged: journal.acknowledgedCount - before.acknowledged,
      answered: traffic.period.answered,
      failures: traffic.period.failures,
      retried: proxy.retriedCount() - before.retried,
      stale: this.#readers.counts.stale - staleBefore,
      problems: problems.map((problem) => `round ${number} (${kinds.join(' and ')}): ${problem}`),
    };
  }

  #startClients(round: number, contention: Contention) {
    const { url } = this.#cluster.proxy;
    const writers = new Writers({
      url,
      journal: this.#journal,
      pictures: this.#pictures,
      random: createRandom(this.#options.seed * 100_003 + round),
      problems: this.#traffic.problems,
      send: this.#traffic.send,
      survives: true,
    });
    const running = Promise.all([writers.run(WRITERS), this.#readers.run(READERS), contention.run()]);
    return {
      stop: async () => {
        writers.stop();
        this.#readers.stop();
        contention.stop();
        await running;
      },
    };
  }

  /** Resolves after `count` more acknowledged writes. @throws Error if there are none for two minutes */
  async #writeMore(count: number): Promise<void> {
    const target = this.#journal.acknowledgedCount + count;
    const timeout = pause(120_000, 'timeout', { ref: false });
    const written = this.#journal.waitUntil(() => this.#journal.acknowledgedCount >= target);
    if ((await Promise.race([written, timeout])) === 'timeout') {
      throw new Error('fewer writes than expected were acknowledged within two minutes');
    }
  }

  async #breakAndRepair(faults: readonly Fault[], contention: Contention): Promise<void> {
    const { nodes, postgres, s3, proxy } = this.#cluster;
    const hold = this.#random.pick(HOLDS) ?? 0;
    const context = {
      nodes,
      postgres,
      s3,
      proxy,
      readers: this.#readers,
      random: this.#random,
      hold: () => pause(hold),
      problems: this.#traffic.problems,
    };
    const sampling = new AbortController();
    const sampled = this.#sample(contention, sampling.signal);
    try {
      await Promise.all(faults.map(({ run }) => run(context)));
    } finally {
      sampling.abort();
      await sampled;
    }
  }

  /** Checks the quota and duplicates again and again, also while clients write. */
  async #sample(contention: Contention, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // The database may be away.
      const problems = await contention.check().catch(() => []);
      this.#traffic.problems.push(...problems);
      await pause(SAMPLE, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Compares the changed records with the journal. @returns a sentence for each difference */
  async #compare(options: { allImages?: boolean } = {}): Promise<string[]> {
    const { proxy, postgres, blobs } = this.#cluster;
    await this.#cluster.waitUntilIdle();
    const { allImages = false } = options;
    return inspectLibrary({
      url: proxy.url,
      blobs,
      query: postgres.query,
      journal: this.#journal,
      pictures: this.#pictures,
      allImages,
      // A link may be stale for a while, which the readers judge.
      skipLinks: !allImages,
    });
  }

  async #checkAtEnd(contention: Contention): Promise<string[]> {
    const problems = await contention.checkAtEnd();
    // Afterwards no link may be stale.
    await pause(this.#options.bound ?? BOUND);
    problems.push(...(await this.#compare({ allImages: true })));
    if (problems.length > 0) return problems;
    const [node] = this.#cluster.nodes;
    if (node === undefined) return ['there is no node'];
    const checks = await runOperatorChecks(node.env.VITRINE_DATA ?? '', node.env);
    this.#report.operatorChecks = { repaired: checks.repaired, collected: checks.collected };
    problems.push(...checks.problems);
    // `gc` ran without a grace period. All acknowledged data must still be there.
    return [...problems, ...(await this.#compare({ allImages: true }))];
  }

  #collectEvidence() {
    const { nodes, proxy } = this.#cluster;
    return {
      failures: this.#traffic.failures,
      proxy: proxy.log(),
      nodes: Object.fromEntries(nodes.map(({ name, output }) => [name, output()])),
      images: [...this.#journal.images.values()],
      pendingUploads: [...this.#journal.pendingUploads.values()],
    };
  }
}
