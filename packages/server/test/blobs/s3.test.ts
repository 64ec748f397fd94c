/**
 * The S3 driver on a real server, and its refusal of stores that are not enough. The contract of drivers is
 * in conformance/blobs.ts, and a store in trouble in s3-outage.test.ts.
 */
import assert from 'node:assert/strict';
import dns from 'node:dns';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import type { S3Location } from '../../src/blobs/location.ts';
import { openS3Blobs } from '../../src/blobs/s3.ts';
import { blobConformance } from '../conformance/blobs.ts';
import { startFaultProxy } from '../faults/http-proxy.ts';
import { newLocation, opaqueFiles, type S3Server, startS3 } from './s3-servers.ts';

const { s3, skip } = await startS3();

after(() => s3?.stop());

function server(): S3Server {
  assert.ok(s3);
  return s3;
}

/** Deadlines that no busy machine reaches. */
const PATIENT = { read: 60_000, write: 60_000, background: 60_000, pace: { window: 60_000, bytes: 1 } };

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-s3-driver-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

async function open(t: TestContext, location: S3Location, isReadOnly = false) {
  const stagingFolder = await newFolder(t);
  const driver = await openS3Blobs({ location, stagingFolder, limits: PATIENT, isReadOnly });
  t.after(() => driver.close());
  return driver;
}

describe('with a real S3 server', { skip }, () => {
  blobConformance('The S3 driver', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-s3-driver-'));
    const location = await newLocation(server());
    const reopen = () =>
      openS3Blobs({ location, stagingFolder: join(folder, 'local/staging'), limits: PATIENT });
    return { driver: await reopen(), reopen, destroy: () => rm(folder, { recursive: true }) };
  });

  it('uses its connections again after uploads, also refused ones, that are answered before they end', async (t) => {
    const driver = await open(t, await newLocation(server()));
    const folder = await newFolder(t);
    const files = [1, 70_000].map((size) => ({ path: join(folder, `${size}`), size }));
    for (const { path, size } of files) await writeFile(path, Buffer.alloc(size));
    const connections = () =>
      process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    const before = connections();
    for (let i = 0; i < 60; i += 1) {
      for (const file of files) {
        assert.equal(await driver.put(`again/${i}-${file.size}`, file), 'created');
        assert.equal(await driver.put(`again/${i}-${file.size}`, file), 'exists');
      }
    }
    const opened = connections() - before;
    assert.ok(opened <= 3, `${opened} more connections than before 240 uploads`);
  });

  it('finds a large blob stored each time it is stored again, although the store may close early', async (t) => {
    const driver = await open(t, await newLocation(server()));
    const folder = await newFolder(t);
    for (const size of [1_000_000, 5_000_000]) {
      const file = { path: join(folder, `${size}`), size };
      await writeFile(file.path, Buffer.alloc(size));
      assert.equal(await driver.put(`large/${size}`, file), 'created');
      for (let i = 0; i < 30; i += 1)
        assert.equal(await driver.put(`large/${size}`, file), 'exists', `${size} ${i}`);
    }
  });

  it('lists more blobs than one page has, and only those under its prefix', {
    skip: opaqueFiles,
  }, async (t) => {
    const location = await newLocation(server());
    const driver = await open(t, location);
    const names = Array.from({ length: 2_345 }, (_, i) => `many/${String(i).padStart(4, '0')}`);
    // The server takes a file in the folder of a bucket for an object.
    for (const prefix of ['library', 'library-of-others']) {
      const folder = join(server().folder, location.bucket, prefix, 'many');
      await mkdir(folder, { recursive: true });
      for (const name of names) await writeFile(join(folder, '..', name), 'x');
    }
    const listed: string[] = [];
    for await (const { key } of driver.list('many/')) listed.push(key);
    assert.deepEqual(listed.sort(), names);
    const all: string[] = [];
    for await (const { key } of driver.list('')) all.push(key);
    assert.deepEqual(all.sort(), names);
  });

  it('stores blobs at the top of a bucket, without a prefix', async (t) => {
    const location = await newLocation(server(), '');
    const driver = await open(t, location);
    const path = join(await newFolder(t), 'file');
    await writeFile(path, 'content');
    await driver.put('a/b', { path, size: 7 });
    assert.deepEqual(await server().objectsIn(location.bucket), ['a/b']);
    assert.equal((await driver.stat('a/b'))?.size, 7);
  });

  it('addresses the bucket by host name', async (t) => {
    // Stands for a DNS with a name for each bucket.
    const { lookup } = dns;
    t.mock.method(dns, 'lookup', ((name: string, ...rest: [never, never]) =>
      lookup(name.endsWith('.localhost') ? 'localhost' : name, ...rest)) as typeof lookup);
    const path = await newLocation(server());
    const endpoint = `http://localhost:${server().port}`;
    const driver = await open(t, { ...path, endpoint, style: 'virtual' });
    const file = join(await newFolder(t), 'file');
    await writeFile(file, 'content');
    await driver.put('a/b', { path: file, size: 7 });
    assert.equal((await (await open(t, path)).stat('a/b'))?.size, 7);
  });

  it('checks with reads only, after a start that leaves nothing behind', async (t) => {
    const proxy = await startFaultProxy(server().port);
    t.after(() => proxy.close());
    const location = { ...(await newLocation(server())), endpoint: proxy.endpoint };
    const driver = await open(t, location);
    const methods = () => proxy.requests.map(({ method }) => method);
    assert.deepEqual(methods(), ['GET', 'PUT', 'PUT', 'DELETE']);
    const path = join(await newFolder(t), 'file');
    await writeFile(path, 'id');
    await driver.put('library', { path, size: 2 });
    const count = methods().length;
    await driver.check();
    assert.deepEqual(methods().slice(count), ['HEAD']);
    assert.deepEqual(await server().objectsIn(location.bucket), ['library/library']);
    await open(t, location, true);
    assert.deepEqual(methods().slice(count + 1), ['HEAD'], 'a command that reads also opens with reads only');
  });

  it('fails to open a missing bucket, or one that the credentials do not open', async (t) => {
    const location = await newLocation(server());
    const missing = { ...location, bucket: 'missing-bucket' };
    for (const isReadOnly of [false, true]) {
      await assert.rejects(
        open(t, missing, isReadOnly),
        /s3:\/\/missing-bucket\/library at http.* cannot be used: .*404 NoSuchBucket/,
      );
    }
    const secret = process.env.AWS_SECRET_ACCESS_KEY;
    process.env.AWS_SECRET_ACCESS_KEY = 'wrong-secret';
    try {
      await assert.rejects(open(t, location), (error: Error) => {
        assert.match(error.message, /cannot be used: .*403 SignatureDoesNotMatch/);
        assert.doesNotMatch(error.message, /wrong-secret/);
        return true;
      });
    } finally {
      process.env.AWS_SECRET_ACCESS_KEY = secret;
    }
  });
});

/** A foreign store that answers with these statuses, and keeps the headers of each PUT. */
async function startForeignStore(t: TestContext, statuses: Partial<Record<string, number[]>> = {}) {
  const puts: IncomingHttpHeaders[] = [];
  const next = { GET: [404], PUT: [200, 412], DELETE: [204], ...statuses };
  const foreign = createServer((request, answer) => {
    const method = request.method as keyof typeof next;
    if (method === 'PUT') puts.push(request.headers);
    const [status = 500, ...rest] = next[method] ?? [];
    if (rest.length > 0) next[method] = rest;
    request.resume().once('end', () => {
      answer.writeHead(status);
      answer.end(status < 400 ? '' : `<Error><Code>Status${status}</Code><Message>m</Message></Error>`);
    });
  });
  foreign.listen(0, '127.0.0.1');
  await once(foreign, 'listening');
  t.after(() => {
    foreign.closeAllConnections();
    foreign.close();
  });
  const { port } = foreign.address() as AddressInfo;
  const location: S3Location = {
    ...{ kind: 's3', bucket: 'pictures', prefix: 'v', style: 'path' },
    ...{ endpoint: `http://127.0.0.1:${port}`, region: undefined, encryption: undefined },
  };
  return { location, puts };
}

it('refuses a store that ignores the condition of a write', async (t) => {
  const { location, puts } = await startForeignStore(t, { PUT: [200, 200] });
  await assert.rejects(
    open(t, location),
    /has no conditional writes: a second PUT of one key with If-None-Match: \* got 200, and not 412/,
  );
  assert.deepEqual(
    puts.map((headers) => headers['if-none-match']),
    ['*', '*'],
  );
});

it('refuses a store that does not know the condition of a write', async (t) => {
  const { location } = await startForeignStore(t, { PUT: [501] });
  await assert.rejects(open(t, location), /cannot be used: .*501 Status501/);
});

it('refuses credentials that cannot tell a missing blob from a forbidden one', async (t) => {
  const { location } = await startForeignStore(t, { GET: [403] });
  await assert.rejects(open(t, location), /403 Status403: m; the key needs s3:GetObject and s3:ListBucket/);
});

it('sends the SHA-256 of each file and asks for encryption, as the location says', async (t) => {
  const { location, puts } = await startForeignStore(t, { PUT: [200, 412, 200] });
  const key = 'arn:aws:kms:eu-1:1:key/2';
  const driver = await open(t, { ...location, encryption: { algorithm: 'aws:kms', key } });
  const path = join(await newFolder(t), 'file');
  await writeFile(path, 'content');
  await driver.put('a/b', { path, size: 7 });
  const headers = puts[2] ?? {};
  assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms');
  assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], key);
  assert.equal(headers['x-amz-checksum-sha256'], '7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=');
  assert.equal(headers['content-length'], '7');
});

it('names the cause if the SDK finds no region', async (t) => {
  const { location } = await startForeignStore(t);
  const { AWS_REGION, AWS_CONFIG_FILE } = process.env;
  process.env.AWS_CONFIG_FILE = '/nonexistent';
  delete process.env.AWS_REGION;
  try {
    await assert.rejects(
      open(t, { ...location, endpoint: undefined }),
      /cannot be used: .*[Rr]egion is missing/,
    );
  } finally {
    if (AWS_REGION === undefined) delete process.env.AWS_REGION;
    else process.env.AWS_REGION = AWS_REGION;
    if (AWS_CONFIG_FILE === undefined) delete process.env.AWS_CONFIG_FILE;
    else process.env.AWS_CONFIG_FILE = AWS_CONFIG_FILE;
  }
});
