/**
 * One proxy in front of three nodes, for all tests of a file.
 */
import { after, before } from 'node:test';
import { createClient, type ImageJSON, type TestClient } from '../../support/client.ts';
import { jpeg } from '../../support/pictures.ts';
import { freePort } from '../../support/ports.ts';
import { type Nodes, startNodes } from './nodes.ts';
import { type Program, programSkipReason, type RunningProgram, startProgram } from './programs.ts';

export interface ProxySetup {
  readonly program: Program;
  /** Requests to the proxy. */
  readonly proxy: TestClient;
  readonly nodes: Nodes;
  /** Uploads a new picture through the proxy and returns the path of its public link. */
  addPicture(): Promise<string>;
  /** The only node that had requests for this path. @throws Error if there were several or none */
  homeOf(path: string): number;
}

/** Registers the hooks. @returns the reason to skip the tests, or the set-up */
export async function setUpProxy(
  program: Program,
): Promise<
  { readonly setup: ProxySetup; readonly skip: false } | { readonly setup?: undefined; readonly skip: string }
> {
  const missing = programSkipReason(program);
  if (missing) return { skip: missing };
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { nodes, skip } = await startNodes(url);
  if (skip !== false) return { skip };
  const proxy = createClient(url);
  let running: RunningProgram | undefined;
  let seed = 0;
  before(async () => {
    running = await startProgram(program, port, nodes.ports);
  });
  after(async () => {
    await running?.stop();
    await nodes.close();
  });
  const setup: ProxySetup = {
    program,
    proxy,
    nodes,
    async addPicture() {
      seed += 1;
      const { link } = (await proxy.addImage(await jpeg({ seed }))) satisfies ImageJSON;
      return new URL(link).pathname;
    },
    homeOf(path) {
      const served = nodes.servedBy(path);
      if (served.length !== 1) throw new Error(`${path} was served by the nodes ${JSON.stringify(served)}`);
      return served[0] ?? 0;
    },
  };
  return { setup, skip: false };
}
