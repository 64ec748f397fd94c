/**
 * Finds the test files of the repository and selects them by room.
 * The rooms of a file are its package or tool, its folders below `test`, and its own name without `.test.ts`.
 */
import { globSync } from 'node:fs';
import { join, relative } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

const PATTERNS = ['packages/*/test/**/*.test.ts', 'tools/*/*.test.ts'];

/** What takes minutes: `npm run test:system`. */
const SYSTEM = 'packages/server/test/system/';

/** Rooms of SYSTEM that are short and check the contract with clients, so they belong to `npm test`. */
const SHORT_SYSTEM_ROOMS = ['browser', 'sdk'];

export interface TestFile {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly rooms: readonly string[];
  /** True for tests that only `npm run test:system` runs. */
  readonly isSystem: boolean;
}

/** All test files, sorted by path. */
export function findTestFiles(): TestFile[] {
  return globSync(PATTERNS, { cwd: ROOT }).sort().map(describeFile);
}

export function describeFile(path: string): TestFile {
  const [top = '', name = '', ...rest] = path.split('/');
  const folders = rest.slice(0, -1).filter((folder) => folder !== 'test' && folder !== 'system');
  const file = (rest.at(-1) ?? '').replace(/\.test\.ts$/, '');
  const isSystem = path.startsWith(SYSTEM) && !SHORT_SYSTEM_ROOMS.some((room) => folders.includes(room));
  return { path, rooms: [...new Set([...(top === 'tools' ? [top] : []), name, ...folders, file])], isSystem };
}

/** The files with one of these rooms or paths. @throws UnknownRoomError if a word selects no file */
export function selectFiles(files: readonly TestFile[], words: readonly string[]): TestFile[] {
  if (words.length === 0) return [...files];
  const selected = words.flatMap((word) => {
    const path = relative(ROOT, join(process.env.INIT_CWD ?? process.cwd(), word));
    const matches = files.filter(
      (file) => file.rooms.includes(word) || file.path === path || file.path === word,
    );
    if (matches.length === 0) throw new UnknownRoomError(word);
    return matches;
  });
  return files.filter((file) => selected.includes(file));
}

/** Packages and folders, without the names of single files. */
export function roomNames(files: readonly TestFile[]): string[] {
  return [...new Set(files.flatMap(({ rooms }) => rooms.slice(0, -1)))].sort();
}

export class UnknownRoomError extends Error {
  constructor(room: string) {
    super(`no test file belongs to "${room}"`);
  }
}
