/**
 * Facts about other processes from /proc: state, children, memory and CPU time. Linux only. A process that
 * has ended gives an empty result and no error.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts CPU time in these ticks. */
const TICKS_A_SECOND = 100;

/** The state as one letter, for example `R` running, `S` sleeping, `T` stopped, `Z` zombie. */
export function stateOf(pid: number): string | undefined {
  return statOf(pid)?.[0];
}

/** The child processes that are alive. */
export function childrenOf(pid: number): number[] {
  const pids = read(`/proc/${pid}/task/${pid}/children`).split(' ').map(Number).filter(Boolean);
  return pids.filter(isAlive);
}

/** The processes of a process group that are alive. */
export function groupMembers(group: number): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Boolean);
  return pids.filter((pid) => Number(statOf(pid)?.[2]) === group && isAlive(pid));
}

/** Bytes of resident memory: now, and at most since the start. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = read(`/proc/${pid}/status`);
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

/** Milliseconds of CPU time since the start. */
export function cpuTimeOf(pid: number): number | undefined {
  const fields = statOf(pid);
  // utime and stime are the 14th and the 15th field of the file.
  return fields && ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_A_SECOND;
}

/** False for an ended process and for a zombie. */
export function isAlive(pid: number): boolean {
  return !/^[ZX]/.test(stateOf(pid) ?? 'X');
}

/** The fields of /proc/PID/stat from the state on. They begin after the name, which may contain spaces. */
function statOf(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text === '' ? undefined : text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
