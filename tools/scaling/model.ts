/**
 * The capacity model of docs/scaling.md: what a library of some size needs. Pure functions. The figures of
 * one table, INPUTS, determine all results.
 */

const DAY = 86_400;

interface Input {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** A document with the measurement, an assumption, or an estimate. */
  readonly source: string;
}

const NATIVE = 'measured: [ADR 59](adr/0059-native-types-on-postgresql.md)';
const AGREE = 'measured: [ADR 56](adr/0056-nodes-agree.md)';
const S3 = 'measured: [ADR 60](adr/0060-blobs-on-s3.md)';
const BENCH = 'measured: [2026-11-24](../bench/results/2026-11-24-1042.md)';

export const INPUTS = {
  row: { name: 'row of an image', value: 328, unit: 'bytes', source: NATIVE },
  indexes: { name: 'indexes of an image, grown', value: 821, unit: 'bytes', source: NATIVE },
  linkIndex: { name: 'of these, the index of public IDs', value: 51, unit: 'bytes', source: NATIVE },
  auditEntry: { name: 'audit entry with its index', value: 246, unit: 'bytes', source: NATIVE },
  auditEntries: { name: 'audit entries of an image', value: 1.5, unit: '', source: 'assumption: 1 to 2' },
  search: { name: 'search text of an image with its indexes', value: 300, unit: 'bytes', source: 'estimate' },
  tags: { name: 'one tag of an image with its indexes', value: 150, unit: 'bytes', source: 'estimate' },
  original: { name: 'original', value: 3_000_000, unit: 'bytes', source: 'assumption' },
  rungs: {
    name: 'rungs, as a share of the original',
    value: 0.78,
    unit: '',
    source: 'measured on three large photographs: [ADR 66](adr/0066-quality-of-rungs.md)',
  },
  objects: { name: 'objects of an image: original, two rungs', value: 3, unit: '', source: 'large JPEGs' },
  views: { name: 'link requests of an image in a day', value: 2, unit: '', source: 'assumption' },
  peak: { name: 'peak, as a multiple of the mean', value: 3, unit: '', source: 'assumption' },
  cdnHits: { name: 'share that the CDN answers', value: 0.95, unit: '', source: 'assumption' },
  cold: { name: 'share of the rest that is rendered', value: 0.5, unit: '', source: 'assumption' },
  rungHits: { name: 'renders whose rung is on the node', value: 0.5, unit: '', source: 'assumption' },
  uploads: { name: 'share of images uploaded in a day', value: 0.001, unit: '', source: 'assumption' },
  replaces: { name: 'share of images replaced in a day', value: 0.0002, unit: '', source: 'assumption' },
  rendition: { name: 'rendition', value: 23_000, unit: 'bytes', source: 'size in the bench row `warm`' },
  coldJpeg: {
    name: 'renders of a core, JPEG',
    value: 64,
    unit: 'a second',
    source: `derived: half of 127 on two cores, ${S3}`,
  },
  coldWebp: {
    name: 'renders of a core, WebP',
    value: 37,
    unit: 'a second',
    source: `derived: 0.58 of JPEG, ${BENCH}`,
  },
  warm: {
    name: 'warm answers of a process',
    value: 19_000,
    unit: 'a second',
    source: 'derived: 0.35 of nginx ([benchmarks](benchmarks.md#results)) with 54 000 a second',
  },
  uploadSeconds: {
    name: 'CPU of an upload of 24 megapixels',
    value: 0.33,
    unit: 'seconds',
    source: 'estimate: the time of the bench row `upload` on one core',
  },
  lookup: {
    name: 'lookup by public ID',
    value: 0.16,
    unit: 'ms',
    source: `${NATIVE}, 1 M images; taken for all sizes`,
  },
  commits: { name: 'commits of PostgreSQL', value: 2_299, unit: 'a second', source: AGREE },
  notifies: { name: 'commits that notify', value: 864, unit: 'a second', source: AGREE },
  connections: {
    name: 'connections of a node: requests and listener',
    value: 11,
    unit: '',
    source: '[operations](operations.md#postgresql)',
  },
  listPage: {
    name: 'LIST of 1 000 objects',
    value: 0.02,
    unit: 'seconds',
    source: 'estimate: depends on the store',
  },
  sweepDays: {
    name: 'days until the collector has listed all',
    value: 30,
    unit: '',
    source: '[ADR 58](adr/0058-garbage-collection-by-row-locks.md)',
  },
  cores: { name: 'cores of a node', value: 8, unit: '', source: 'assumption' },
  used: { name: 'share of the cores used at the peak', value: 0.5, unit: '', source: 'assumption' },
  memory: { name: 'memory of PostgreSQL for its cache', value: 100e9, unit: 'bytes', source: 'assumption' },
  databaseCores: { name: 'cores of PostgreSQL', value: 8, unit: '', source: 'assumption' },
  databaseConnections: {
    name: 'connections of PostgreSQL',
    value: 500,
    unit: '',
    source: 'assumption: a common `max_connections` for a large server',
  },
  blobRate: { name: 'reading blobs in order', value: 500e6, unit: 'bytes a second', source: 'assumption' },
  restoreRate: { name: 'copying a database', value: 200e6, unit: 'bytes a second', source: 'assumption' },
} as const satisfies Readonly<Record<string, Input>>;

const value = (name: keyof typeof INPUTS): number => INPUTS[name].value;

/** A number with a space before each group of three digits. */
export function spaced(number: number): string {
  return number.toLocaleString('en', { maximumFractionDigits: 6 }).replaceAll(',', ' ');
}

/** The sizes of libraries in the tables, in images. */
export const SIZES = [1e6, 1e8, 1e9] as const;

/** What a library of some size needs. Rates are a second, at the peak unless they say "mean". */
export interface Needs {
  readonly images: number;
  /** Rows of images, audit, search texts and tags. */
  readonly rows: number;
  /** Bytes. */
  readonly database: number;
  readonly indexes: number;
  readonly linkIndex: number;
  readonly originals: number;
  readonly rungs: number;
  readonly objects: number;
  /** Requests in 30 days. */
  readonly puts: number;
  readonly gets: number;
  readonly lists: number;
  readonly views: number;
  readonly absorbed: number;
  readonly origin: number;
  readonly renders: number;
  readonly uploads: number;
  readonly replaces: number;
  /** Bytes a second at the peak, with and without a CDN. */
  readonly traffic: number;
  readonly originTraffic: number;
  /** Cores that work at the peak. */
  readonly cores: number;
  /** With one node that may fail. */
  readonly nodes: number;
  readonly connections: number;
  /** Seconds for the part of the sweep of one day. */
  readonly sweep: number;
  /** Seconds to copy the database. */
  readonly restore: number;
}

export function computeNeeds(images: number): Needs {
  const atPeak = (share: number) => (images * share * value('peak')) / DAY;
  const views = atPeak(value('views'));
  const origin = views * (1 - value('cdnHits'));
  const renders = origin * value('cold');
  const uploads = atPeak(value('uploads'));
  const replaces = atPeak(value('replaces'));
  const cores =
    renders / value('coldWebp') +
    (origin - renders) / value('warm') +
    (uploads + replaces) * value('uploadSeconds');
  const nodes = Math.max(2, Math.ceil(cores / (value('cores') * value('used'))) + 1);
  const objects = images * value('objects');
  const monthly = 30 * images;
  const changes = value('uploads') + value('replaces');
  const lists = (objects / 1_000) * (30 / value('sweepDays'));
  const audit = value('auditEntries') * value('auditEntry');
  const database = images * (value('row') + value('indexes') + audit + value('search') + value('tags'));
  return {
    images,
    rows: images * (3 + value('auditEntries')),
    database,
    indexes: images * value('indexes'),
    linkIndex: images * value('linkIndex'),
    originals: images * value('original'),
    rungs: images * value('original') * value('rungs'),
    objects,
    puts: monthly * changes * value('objects'),
    gets: ((renders * (1 - value('rungHits'))) / value('peak')) * DAY * 30,
    lists,
    views,
    absorbed: views - origin,
    origin,
    renders,
    uploads,
    replaces,
    traffic: views * value('rendition'),
    originTraffic: origin * value('rendition'),
    cores,
    nodes,
    connections: nodes * value('connections'),
    sweep: (lists / 30) * value('listPage'),
    restore: database / value('restoreRate'),
  };
}

/** One part with a limit, and how much of it a library uses. */
export interface Load {
  readonly part: string;
  /** The limit, in words. */
  readonly limit: string;
  /** What to do before it is reached. */
  readonly remedy: string;
  /** 1 is the limit. */
  use(needs: Needs): number;
}

/** The parts of a library on three nodes and one PostgreSQL. */
export const LOADS: readonly Load[] = [
  {
    part: 'cores that render',
    limit: `3 nodes of ${value('cores')} cores, ${value('used') * 100} % used`,
    remedy: 'add nodes; their number has no other limit than connections',
    use: ({ cores }) => cores / (3 * value('cores') * value('used')),
  },
  {
    part: 'memory for all indexes of images',
    limit: `${value('memory') / 1e9} GB`,
    remedy: 'more memory; NVMe disks; rebuild the indexes; later split them, see below',
    use: ({ indexes }) => indexes / value('memory'),
  },
  {
    part: 'memory for the index of public IDs',
    limit: `${value('memory') / 1e9} GB`,
    remedy: 'more memory: every link needs this index',
    use: ({ linkIndex }) => linkIndex / value('memory'),
  },
  {
    part: 'lookups of links',
    limit: `${value('databaseCores')} cores of PostgreSQL, ${value('used') * 100} % used`,
    remedy: 'a CDN and longer `max-age`; more cores',
    use: ({ origin }) => (origin * value('lookup')) / 1_000 / (value('databaseCores') * value('used')),
  },
  {
    part: 'commits of uploads',
    limit: `${spaced(value('commits'))} a second`,
    remedy: 'faster disks for the log of PostgreSQL',
    use: ({ uploads }) => uploads / value('commits'),
  },
  {
    part: 'commits that notify: replacements, beats',
    limit: `${spaced(value('notifies'))} a second`,
    remedy: 'spread mass replacements over time',
    use: ({ replaces, nodes }) => (replaces + nodes) / value('notifies'),
  },
  {
    part: 'connections to PostgreSQL',
    limit: String(value('databaseConnections')),
    remedy: 'fewer connections a node, or PgBouncer',
    use: ({ connections }) => connections / value('databaseConnections'),
  },
  {
    part: 'daily part of the sweep',
    limit: '24 hours',
    remedy: 'smaller parts: `vitrine gc --sweep`',
    use: ({ sweep }) => sweep / DAY,
  },
  {
    part: '`vitrine backup` or `verify`: reads all originals',
    limit: '24 hours',
    remedy: 'backups of PostgreSQL and versions of the bucket instead, see below',
    use: ({ originals }) => originals / value('blobRate') / DAY,
  },
];
