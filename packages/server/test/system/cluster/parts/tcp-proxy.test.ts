import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../../support/ports.ts';
import { startTCPProxy } from './tcp-proxy.ts';

const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

/** A server that answers each chunk with its name and the chunk. */
async function startEcho(name: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => socket.write(`${name} ${chunk}`));
  });
  servers.push(server);
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return port;
}

async function ask(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  return String((await once(socket, 'data'))[0]);
}

test('bytes pass to the current target, and a change of the target resets connections', async () => {
  const [one, two] = [await startEcho('one'), await startEcho('two')];
  const proxy = await startTCPProxy(await freePort(), one);
  const first = connect(proxy.port, '127.0.0.1');
  assert.equal(await ask(first, 'x'), 'one x');
  const broken = once(first, 'error');
  proxy.setTarget(two);
  await broken;
  const second = connect(proxy.port, '127.0.0.1');
  assert.equal(await ask(second, 'y'), 'two y');
  second.destroy();
  await proxy.close();
});

test('a refused network resets connections, and a silent one keeps them without bytes', async () => {
  const proxy = await startTCPProxy(await freePort(), await startEcho('one'));
  const socket = connect(proxy.port, '127.0.0.1');
  assert.equal(await ask(socket, 'a'), 'one a');

  proxy.setState('silent');
  const answer = ask(socket, 'b');
  assert.equal(await Promise.race([answer, pause(200, 'nothing')]), 'nothing');
  const late = connect(proxy.port, '127.0.0.1');
  const lateAnswer = ask(late, 'c');
  assert.equal(await Promise.race([lateAnswer, pause(200, 'nothing')]), 'nothing');
  proxy.setState('open');
  assert.deepEqual([await answer, await lateAnswer], ['one b', 'one c']);

  const closed = [once(socket, 'error'), once(late, 'error')];
  proxy.setState('refused');
  await Promise.all(closed);
  const refused = connect(proxy.port, '127.0.0.1');
  await once(refused, 'error');
  proxy.setState('open');
  const next = connect(proxy.port, '127.0.0.1');
  assert.equal(await ask(next, 'd'), 'one d');
  next.destroy();
  await proxy.close();
});
