/**
 * What Linux tells of other processes in /proc: state, children, memory, work. Of one that is gone it is nothing, not an error.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks of the clock in which Linux tells the time that a process computed. */
const TICKS_A_SECOND = 100;

/** `R`unning, `S`leeping, s`T`opped, `Z`ombie and so on; undefined if there is no such process. */
export function stateOf(pid: number): string | undefined {
  return statOf(pid)?.[0];
}

/** Those that are alive. */
export function childrenOf(pid: number): number[] {
  const pids = read(`/proc/${pid}/task/${pid}/children`).split(' ').map(Number).filter(Boolean);
  return pids.filter(isAlive);
}

/** The processes of a group that run; those that only wait to be reaped do not. */
export function groupMembers(group: number): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Boolean);
  return pids.filter((pid) => Number(statOf(pid)?.[2]) === group && isAlive(pid));
}

/** Bytes that it holds now, and the most it ever held. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = read(`/proc/${pid}/status`);
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

/** Milliseconds that it computed so far; undefined if there is no such process. */
export function workOf(pid: number): number | undefined {
  const fields = statOf(pid);
  // utime and stime: the 14th and the 15th field of the file.
  return fields && ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_A_SECOND;
}

/** False also for one that only waits to be reaped. */
export function isAlive(pid: number): boolean {
  return !/^[ZX]/.test(stateOf(pid) ?? 'X');
}

/** The fields of /proc/PID/stat from the state on: the name ahead of it may hold anything. */
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
