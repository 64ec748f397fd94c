/**
 * The faults of the harness. Each one breaks something, waits, and repairs it. `allows` has the failures that
 * clients may see besides 503 with Retry-After.
 */
import type { S3Server } from '../../blobs/s3-servers.ts';
import type { Random } from '../crash/random.ts';
import type { HAProxy } from './parts/haproxy.ts';
import type { ClusterNode } from './parts/nodes.ts';
import type { ReplicatedPostgres } from './parts/replicated-postgres.ts';
import type { Readers } from './readers.ts';
import type { Failure } from './traffic.ts';

export interface FaultContext {
  readonly nodes: readonly ClusterNode[];
  readonly postgres: ReplicatedPostgres;
  readonly s3: S3Server;
  readonly proxy: HAProxy;
  readonly readers: Readers;
  readonly random: Random;
  /** Resolves when the fault has lasted long enough. */
  readonly hold: () => Promise<void>;
  /** Gets a sentence for each violation that the fault itself sees. */
  readonly problems: string[];
}

/** What a fault harms. Two faults of different parts may happen at the same time. */
export type Part = 'node' | 'database' | 'blobs' | 'proxy';

export interface Fault {
  readonly kind: string;
  readonly part: Part;
  readonly allows: readonly Failure[];
  /** Breaks and repairs it. @param context its random choices name the node. */
  readonly run: (context: FaultContext) => Promise<void>;
}

const names = (nodes: readonly ClusterNode[]) => nodes.map(({ name }) => name);

function pickNode({ random, nodes }: FaultContext): ClusterNode {
  const node = random.pick(nodes);
  if (node === undefined) throw new Error('there is no node');
  return node;
}

/** Stops a node as an operator does, and starts it again. */
async function restart(node: ClusterNode, { problems }: FaultContext, meanwhile?: () => Promise<void>) {
  const code = await node.stop();
  if (code !== 0) problems.push(`${node.name} ended with ${code} after SIGTERM`);
  await meanwhile?.();
  await node.start();
  await node.waitUntilReady();
}

/** Lets the standby take the place of the primary. Nodes keep their URL. */
async function failOver({ postgres, nodes }: FaultContext): Promise<void> {
  await postgres.killPrimary();
  await postgres.promote();
  for (const node of nodes) node.setDatabase(postgres.primaryPort);
}

/** Nodes cannot learn of changes while the database is away. */
async function withoutDatabase(context: FaultContext, work: () => Promise<void>): Promise<void> {
  context.readers.blind(names(context.nodes));
  await work();
}

/** Sessions of the server, and sessions that only listen. */
const SESSIONS = `application_name like 'vitrine%'`;
const LISTENERS = `${SESSIONS} and (application_name like '%listen%' or query ilike 'listen %')`;

export const FAULTS: readonly Fault[] = [
  {
    kind: 'node killed',
    part: 'node',
    allows: ['bad-gateway', 'no-answer'],
    async run(context) {
      const node = pickNode(context);
      await node.kill();
      await context.hold();
      await node.start();
    },
  },
  {
    kind: 'node paused',
    part: 'node',
    allows: [],
    async run(context) {
      const node = pickNode(context);
      node.pause();
      await context.hold();
      node.resume();
    },
  },
  {
    kind: 'node stopped',
    part: 'node',
    allows: [],
    async run(context) {
      await restart(pickNode(context), context, context.hold);
    },
  },
  {
    kind: 'rolling restart',
    part: 'node',
    allows: [],
    async run(context) {
      for (const node of context.nodes) {
        await restart(node, context);
        await context.proxy.waitForNodes([node.name]);
      }
    },
  },
  {
    kind: 'network to PostgreSQL refused',
    part: 'node',
    allows: [],
    run: (context) => cutDatabase(context, 'refused'),
  },
  {
    kind: 'network to PostgreSQL silent',
    part: 'node',
    allows: [],
    run: (context) => cutDatabase(context, 'silent'),
  },
  {
    kind: 'network to S3 silent',
    part: 'node',
    allows: [],
    async run(context) {
      const node = pickNode(context);
      node.cutBlobs('silent');
      await context.hold();
      node.cutBlobs('open');
    },
  },
  {
    kind: 'PostgreSQL crashed',
    part: 'database',
    allows: [],
    run: (context) => withoutDatabase(context, () => context.postgres.restart('immediate')),
  },
  {
    kind: 'PostgreSQL restarted',
    part: 'database',
    allows: [],
    run: (context) => withoutDatabase(context, () => context.postgres.restart('fast')),
  },
  {
    kind: 'failover',
    part: 'database',
    allows: [],
    async run(context) {
      await withoutDatabase(context, () => failOver(context));
      await context.hold();
      await context.postgres.createStandby();
    },
  },
  {
    kind: 'standby away',
    part: 'database',
    allows: [],
    async run({ postgres, hold }) {
      await postgres.killStandby();
      await hold();
      await postgres.startStandby();
    },
  },
  {
    // No commit may be answered without the standby, because the standby takes over.
    kind: 'failover without standby',
    part: 'database',
    allows: [],
    async run(context) {
      const { postgres } = context;
      await postgres.killStandby();
      await context.hold();
      await withoutDatabase(context, async () => {
        await postgres.killPrimary();
        await postgres.startStandby();
        await failOver(context);
      });
      await postgres.createStandby();
    },
  },
  {
    kind: 'listeners ended',
    part: 'database',
    allows: [],
    async run({ postgres, nodes, problems }) {
      const count = await terminate(postgres, LISTENERS);
      if (count < nodes.length) problems.push(`${count} sessions listen for ${nodes.length} nodes`);
    },
  },
  {
    kind: 'sessions ended',
    part: 'database',
    allows: [],
    async run({ postgres }) {
      await terminate(postgres, SESSIONS);
    },
  },
  {
    kind: 'S3 killed',
    part: 'blobs',
    allows: [],
    async run({ s3, hold }) {
      await s3.kill();
      await hold();
      await s3.start();
    },
  },
  {
    kind: 'S3 paused',
    part: 'blobs',
    allows: [],
    async run({ s3, hold }) {
      s3.signal('SIGSTOP');
      await hold();
      s3.signal('SIGCONT');
    },
  },
  {
    kind: 'proxy killed',
    part: 'proxy',
    allows: ['no-answer'],
    async run({ proxy }) {
      await proxy.kill();
      await proxy.start();
    },
  },
  {
    kind: 'proxy reloaded',
    part: 'proxy',
    allows: [],
    run: ({ proxy }) => proxy.reload(),
  },
];

async function cutDatabase(context: FaultContext, state: 'refused' | 'silent'): Promise<void> {
  const node = pickNode(context);
  context.readers.blind([node.name]);
  node.cutDatabase(state);
  await context.hold();
  node.cutDatabase('open');
}

/** Ends sessions of the nodes. @returns their number */
async function terminate(postgres: ReplicatedPostgres, condition: string): Promise<number> {
  const statement = `select pg_terminate_backend(pid) from pg_stat_activity where ${condition}`;
  return (await postgres.query(statement)).length;
}

/**
 * Chooses the faults of a run: each kind once before any kind again, and sometimes two at the same time.
 * @param kinds default: all
 */
export function* scheduleFaults(random: Random, kinds: readonly Fault[] = FAULTS): Generator<Fault[]> {
  for (;;) {
    const remaining = [...kinds];
    while (remaining.length > 0) {
      const first = takeOne(random, remaining, () => true);
      if (first === undefined) continue;
      const second =
        random.next() < 0.2 ? takeOne(random, remaining, ({ part }) => part !== first.part) : undefined;
      yield second ? [first, second] : [first];
    }
  }
}

function takeOne(random: Random, faults: Fault[], fits: (fault: Fault) => boolean): Fault | undefined {
  const fault = random.pick(faults.filter(fits));
  if (fault) faults.splice(faults.indexOf(fault), 1);
  return fault;
}
