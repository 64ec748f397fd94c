/**
 * Runs all tests or some rooms, for `npm test`, `npm run test:watch` and `npm run test:system`.
 * It starts one PostgreSQL for all files and runs pure files together in one process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, statfsSync, watch } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { findTestFiles, ROOT, roomNames, selectFiles, type TestFile, UnknownRoomError } from './files.ts';
import { isPure, needsPostgres } from './imports.ts';

/** Milliseconds that one test may take. */
const TIMEOUT = 180_000;

/** Tests also wait for timers and for other processes, so one more than there are cores keeps them busy. */
const CONCURRENCY = availableParallelism() + 1;

/** Compiled code for the next processes: each test file and each thread loads the same sources. */
const COMPILE_CACHE = join(ROOT, 'node_modules/.cache/vitrine-tests');

/** A file system in memory, and the free bytes that a run needs there. */
const MEMORY_FOLDER = '/dev/shm';
const MEMORY_BYTES = 4 * 1024 ** 3;

/** Milliseconds without a change before a watched room runs: editors write several files at once. */
const QUIET = 100;

const WATCHED = ['packages/*/{src,test}', 'tools/{hooks,prose,test}'];

async function main(parameters: readonly string[]): Promise<number> {
  const isSystem = parameters.includes('--system');
  const nodeOptions = parameters.filter((each) => each.startsWith('--test-'));
  const words = parameters.filter(
    (each) => !nodeOptions.includes(each) && !['--system', '--watch'].includes(each),
  );
  const files = findTestFiles().filter((file) => file.isSystem === isSystem);
  let selected: TestFile[];
  try {
    selected = selectFiles(files, words);
  } catch (error) {
    if (!(error instanceof UnknownRoomError)) throw error;
    process.stderr.write(`${error.message}\n\n${usage(files, isSystem)}`);
    return 1;
  }
  if (!isSystem) useMemoryFolder();
  return withPostgres(selected, (env) => {
    const start = (...groups: (readonly TestFile[])[]) => startRun(groups, nodeOptions, env);
    return parameters.includes('--watch') ? watchFiles(selected, start) : runOnce(start(selected));
  });
}

/**
 * Puts the temporary folders of the tests into memory, because syncs to a disk take much of their time.
 * System tests use the disk.
 */
function useMemoryFolder(): void {
  if (process.env.TMPDIR !== undefined) return;
  try {
    const { bavail, bsize } = statfsSync(MEMORY_FOLDER);
    if (bavail * bsize >= MEMORY_BYTES) process.env.TMPDIR = MEMORY_FOLDER;
  } catch {
    // This system has no such folder.
  }
}

function usage(files: readonly TestFile[], isSystem: boolean): string {
  const command = isSystem ? 'npm run test:system' : 'npm test';
  return [
    `Usage: ${command} -- [ROOM or FILE]... [--test-OPTION of node]...`,
    `Rooms: ${roomNames(files).join(', ')}`,
    'The name of a test file without .test.ts is a room as well.',
    isSystem ? 'All other tests: npm test' : 'Tests that take minutes: npm run test:system',
    '',
  ].join('\n');
}

/** Starts PostgreSQL if one of the files needs it. If it cannot start, the files skip tests or fail. */
async function withPostgres<T>(
  files: readonly TestFile[],
  work: (env: NodeJS.ProcessEnv) => Promise<T>,
): Promise<T> {
  const isThere = process.env.TEST_POSTGRES_URL !== undefined;
  if (isThere || !files.some(({ path }) => needsPostgres(path))) return work(process.env);
  const { startOwnPostgres } = await import('../../packages/server/test/support/postgres.ts');
  const { postgres, skip } = await startOwnPostgres();
  if (postgres === undefined) {
    process.stderr.write(`${skip}\n`);
    return work(process.env);
  }
  try {
    return await work({ ...process.env, TEST_POSTGRES_URL: postgres.url });
  } finally {
    await postgres.stop();
  }
}

interface Run {
  /** Resolves when all parts have ended: 0 if all tests passed. */
  readonly exitCode: Promise<number>;
  cancel(): void;
}

/**
 * Runs groups of files one after the other. In each group, the pure files share one process, and every other
 * file has its own.
 */
function startRun(
  groups: readonly (readonly TestFile[])[],
  nodeOptions: readonly string[],
  env: NodeJS.ProcessEnv,
): Run {
  const parts = groups.flatMap((files) => {
    const paths = files.map(({ path }) => path);
    const pure = paths.filter(isPure);
    const others = paths.filter((path) => !pure.includes(path));
    return [
      { option: '--test-isolation=none', paths: pure },
      { option: `--test-concurrency=${CONCURRENCY}`, paths: others },
    ].filter((part) => part.paths.length > 0);
  });
  let child: ChildProcess | undefined;
  let isCancelled = false;
  const runParts = async () => {
    let exitCode = 0;
    for (const { option, paths } of parts) {
      if (isCancelled) return 1;
      child = startNode([option, ...nodeOptions, ...paths], env);
      const [code] = (await once(child, 'exit')) as [number | null];
      if (code !== 0) exitCode = 1;
    }
    return exitCode;
  };
  return {
    exitCode: runParts(),
    cancel() {
      isCancelled = true;
      child?.kill();
    },
  };
}

function startNode(parameters: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const options = ['--conditions=vitrine-source', '--test', `--test-timeout=${TIMEOUT}`];
  return spawn(process.execPath, [...options, ...parameters], {
    cwd: ROOT,
    env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
    stdio: 'inherit',
  });
}

/** A signal ends the tests first, so that PostgreSQL and the folders of the tests are removed. */
function runOnce(run: Run): Promise<number> {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, run.cancel);
  return run.exitCode;
}

/** Runs the files now and after each change, until a signal ends the process. */
async function watchFiles(
  files: readonly TestFile[],
  start: (...groups: (readonly TestFile[])[]) => Run,
): Promise<number> {
  const changes = watchSources();
  const ended = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  let next: readonly (readonly TestFile[])[] = [files];
  for (;;) {
    const run = start(...next);
    const change = await Promise.race([changes.next(), ended.then(() => undefined)]);
    run.cancel();
    await run.exitCode;
    if (change === undefined) return 0;
    process.stdout.write(`\nchanged: ${[...change].join(', ')}\n`);
    next = groupByDistance(files, change);
  }
}

/**
 * The files to run after a change: only the changed tests if nothing else changed. Else the tests in the
 * mirror of a changed folder come first, so that the first answer needs seconds.
 */
function groupByDistance(files: readonly TestFile[], change: ReadonlySet<string>): readonly TestFile[][] {
  const changedTests = files.filter(({ path }) => change.has(path));
  if (changedTests.length === change.size) return [changedTests];
  const mirrors = new Set([...change].map((path) => dirname(path.replace('/src/', '/test/'))));
  const isNear = ({ path }: TestFile) => mirrors.has(dirname(path));
  return [files.filter(isNear), files.filter((file) => !isNear(file))];
}

/** Reports the paths of changed sources and tests in groups, once no further change follows. */
function watchSources(): { next(): Promise<ReadonlySet<string>> } {
  let paths = new Set<string>();
  let reported = Promise.withResolvers<ReadonlySet<string>>();
  let timer: NodeJS.Timeout | undefined;
  for (const folder of globSync(WATCHED, { cwd: ROOT })) {
    watch(join(ROOT, folder), { recursive: true }, (_event, name) => {
      if (name !== null) paths.add(join(folder, name));
      clearTimeout(timer);
      timer = setTimeout(() => reported.resolve(paths), QUIET);
    });
  }
  return {
    async next() {
      const group = await reported.promise;
      paths = new Set();
      reported = Promise.withResolvers();
      return group;
    },
  };
}

process.exit(await main(process.argv.slice(2)));
