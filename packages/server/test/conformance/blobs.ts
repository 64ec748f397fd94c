/**
 * The tests of the BlobDriver contract, races included. Every driver runs all of them.
 * Behaviour of only one driver belongs into the test of that driver.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { BlobDriver, BlobStat } from '../../src/blobs/driver.ts';
import { isAppError } from '../../src/errors.ts';

/** A driver over an empty backend that no other test uses. */
export interface BlobHarness {
  readonly driver: BlobDriver;
  /** Opens a second driver over the same backend, as another process or the next start does. */
  reopen(): Promise<BlobDriver>;
  /** Closes and removes everything that `open` made. */
  destroy(): Promise<void>;
}

/** Declares the suite for one backend. All tests share a harness, so each test uses new keys. */
export function blobConformance(name: string, open: () => Promise<BlobHarness>): void {
  describe(`${name} keeps the contract of a BlobDriver`, () => {
    let harness: BlobHarness;
    let driver: BlobDriver;

    before(async () => {
      harness = await open();
      driver = harness.driver;
    });
    after(async () => {
      await driver.close();
      await harness.destroy();
    });

    const stage = async (bytes: Uint8Array): Promise<{ path: string; size: number }> => {
      const path = join(driver.stagingFolder, `${randomUUID()}.part`);
      await writeFile(path, bytes);
      return { path, size: bytes.length };
    };
    const put = async (key: string, bytes: Uint8Array) => driver.put(key, await stage(bytes));
    const newKey = (folder = 'test') => `${folder}/${randomBytes(12).toString('hex')}`;

    it('returns the stored bytes and their size', async () => {
      const key = newKey();
      const bytes = randomBytes(100_000);
      assert.equal(await put(key, bytes), 'created');
      const blob = await driver.open(key);
      assert.equal(blob?.size, bytes.length);
      assert.ok(blob && (await buffer(blob.stream)).equals(bytes));
    });

    it('keeps the first bytes when the key is put again', async () => {
      const key = newKey();
      await put(key, Buffer.from('first'));
      assert.equal(await put(key, Buffer.from('second')), 'exists');
      assert.equal(String(await content(driver, key)), 'first');
    });

    it('keeps the staged file, and keeps the blob when the staged file is removed', async () => {
      const key = newKey();
      const file = await stage(Buffer.from('staged'));
      await driver.put(key, file);
      assert.equal(String(await readFile(file.path)), 'staged');
      await rm(file.path);
      await driver.replace(key, await stage(Buffer.from('replaced')));
      assert.equal(String(await content(driver, key)), 'replaced');
    });

    it('stores an empty blob', async () => {
      const key = newKey();
      assert.equal(await put(key, Buffer.alloc(0)), 'created');
      assert.equal((await driver.stat(key))?.size, 0);
      assert.equal((await content(driver, key))?.length, 0);
    });

    it('stores a blob of 20 MB', async () => {
      const key = newKey();
      const bytes = randomBytes(20_000_000);
      await put(key, bytes);
      const blob = await driver.open(key);
      assert.ok(blob);
      const hash = createHash('sha256');
      for await (const chunk of blob.stream) hash.update(chunk);
      assert.equal(hash.digest('hex'), createHash('sha256').update(bytes).digest('hex'));
    });

    it('returns undefined for a missing blob', async () => {
      const key = newKey('absent');
      assert.equal(await driver.open(key), undefined);
      assert.equal(await driver.stat(key), undefined);
      assert.equal(await driver.open(`${key}/below`), undefined);
      await driver.delete(key);
      assert.deepEqual(await keys(driver.list('absent/')), []);
    });

    it('returns the size and time of a blob', async () => {
      const key = newKey();
      const started = Date.now();
      await put(key, Buffer.from('12345'));
      const stat = await driver.stat(key);
      assert.equal(stat?.key, key);
      assert.equal(stat?.size, 5);
      // A backend may store whole seconds only, and the clock of a file system is coarse.
      assert.ok(Math.abs((stat?.storedOn.getTime() ?? 0) - started) < 60_000);
    });

    it('deletes only the named blob', async () => {
      const [gone, stays] = [newKey(), newKey()];
      await put(gone, Buffer.from('gone'));
      await put(stays, Buffer.from('stays'));
      await driver.delete(gone);
      assert.equal(await driver.open(gone), undefined);
      assert.equal(String(await content(driver, stays)), 'stays');
      assert.equal(await put(gone, Buffer.from('back')), 'created');
    });

    it('replaces a blob, and creates it if it is absent', async () => {
      const key = newKey();
      await driver.replace(key, await stage(Buffer.from('one')));
      await driver.replace(key, await stage(Buffer.from('longer than one')));
      assert.equal(String(await content(driver, key)), 'longer than one');
      assert.equal((await driver.stat(key))?.size, 15);
    });

    it('replaces a blob by the file that it was put from', async () => {
      const key = newKey();
      const file = await stage(Buffer.from('same'));
      await driver.put(key, file);
      await driver.replace(key, file);
      assert.equal(String(await content(driver, key)), 'same');
      assert.deepEqual(await keys(driver.list(key)), [key]);
    });

    it('lists by prefix, ending inside a name or at a segment, without staged files', async () => {
      const names = ['list/aa/1', 'list/aa/12', 'list/aa/2', 'list/ab/3', 'list/b/c/d/4', 'listing/5'];
      for (const name of names) await put(name, Buffer.from(name));
      await stage(Buffer.from('staged'));
      const namesWith = (prefix: string) => names.filter((name) => name.startsWith(prefix));
      for (const prefix of [
        'list',
        'list/',
        'list/aa',
        'list/aa/',
        'list/aa/1',
        'list/aa/12',
        'list/a',
        'lis',
        'list/b/c',
        'listing/',
      ]) {
        assert.deepEqual(await keys(driver.list(prefix)), namesWith(prefix), prefix);
      }
      for (const prefix of ['list/zz', 'nothing/', '../', '/', 'list//', 'list/../list/', 'staging/']) {
        assert.deepEqual(await keys(driver.list(prefix)), [], prefix);
      }
      const all = await keys(driver.list(''));
      assert.deepEqual(
        all.filter((key) => key.startsWith('list')),
        names,
      );
      assert.ok(!all.some((key) => key.includes('staging') || key.includes('.part')));
    });

    it('lists the same size and time as stat', async () => {
      const key = newKey('listed');
      await put(key, Buffer.from('123'));
      const listed: BlobStat[] = [];
      for await (const stat of driver.list('listed/')) listed.push(stat);
      const stat = await driver.stat(key);
      assert.deepEqual(listed, [{ key, size: stat?.size, storedOn: stat?.storedOn }]);
    });

    it('has the SHA-256 of the stored bytes in stat, if it has one', async () => {
      const key = newKey();
      for (const word of ['one', 'two']) {
        const bytes = Buffer.from(word);
        await driver.replace(key, await stage(bytes));
        const digest = createHash('sha256').update(bytes).digest('hex');
        assert.equal((await driver.stat(key))?.digest ?? digest, digest);
      }
    });

    it('copies a blob to another key, if it can copy', async () => {
      if (!driver.copy) return;
      const [from, to, other] = [newKey(), newKey(), newKey()];
      const bytes = randomBytes(100_000);
      await put(from, bytes);
      assert.equal(await driver.copy(from, to), true);
      await driver.delete(from);
      assert.ok((await content(driver, to))?.equals(bytes));
      assert.equal(await driver.copy(from, other), false);
      assert.equal(await driver.stat(other), undefined);
    });

    it('stops a listing early', async () => {
      for (let i = 0; i < 5; i += 1) await put(newKey('early'), Buffer.from('x'));
      for await (const stat of driver.list('early/')) {
        assert.ok(stat.key.startsWith('early/'));
        break;
      }
      assert.equal((await keys(driver.list('early/'))).length, 5);
    });

    it('creates the blob once when 20 calls put the same key at once', async () => {
      for (let round = 0; round < 10; round += 1) {
        // A new folder each round, so that the race includes making it.
        const key = newKey(`race-${round}-${randomBytes(4).toString('hex')}`);
        const second = await harness.reopen();
        const files = await Promise.all(
          Array.from({ length: 20 }, (_, i) => stage(Buffer.alloc(50_000, `${i}.`.padEnd(8, '-')))),
        );
        const outcomes = await Promise.all(files.map((file, i) => (i % 2 ? second : driver).put(key, file)));
        assert.equal(outcomes.filter((outcome) => outcome === 'created').length, 1);
        const winner = Buffer.alloc(50_000, `${outcomes.indexOf('created')}.`.padEnd(8, '-'));
        assert.ok((await content(driver, key))?.equals(winner), 'the bytes of the call that created it');
        assert.deepEqual(await keys(driver.list(key.split('/')[0] ?? '')), [key]);
        await second.close();
      }
    });

    it('shows readers either nothing or the whole blob during a put', async () => {
      const bytes = randomBytes(3_000_000);
      for (let round = 0; round < 5; round += 1) {
        const key = newKey();
        const file = await stage(bytes);
        let done = false;
        const readers = Array.from({ length: 4 }, async () => {
          for (let last = false; !last; ) {
            last = done;
            const stat = await driver.stat(key);
            assert.ok(stat === undefined || stat.size === bytes.length);
            const read = await content(driver, key);
            assert.ok(read === undefined ? !last : read.equals(bytes));
          }
        });
        const putting = driver.put(key, file).finally(() => {
          done = true;
        });
        await Promise.all([putting, ...readers]);
      }
    });

    it('shows readers either the whole old blob or the whole new one during a replacement', async () => {
      const key = newKey();
      const [old, fresh] = [Buffer.alloc(1_000_000, 'old '), Buffer.alloc(1_500_000, 'fresh ')];
      await put(key, old);
      let done = false;
      const readers = Array.from({ length: 4 }, async () => {
        for (let last = false; !last; ) {
          last = done;
          const read = await content(driver, key);
          assert.ok(read?.equals(fresh) || (read?.equals(old) && !last));
        }
      });
      const replacing = (async () => {
        for (let round = 0; round < 10; round += 1) {
          await driver.replace(key, await stage(round % 2 ? fresh : old));
        }
      })().finally(() => {
        done = true;
      });
      await Promise.all([replacing, ...readers]);
    });

    it('completes or fails the stream of a blob that is deleted during the read', async () => {
      const key = newKey();
      const bytes = randomBytes(5_000_000);
      await put(key, bytes);
      const blob = await driver.open(key);
      assert.ok(blob);
      const iterator = blob.stream[Symbol.asyncIterator]();
      const first = await iterator.next();
      await driver.delete(key);
      const parts: Uint8Array[] = [first.value];
      try {
        for (let next = await iterator.next(); !next.done; next = await iterator.next())
          parts.push(next.value);
      } catch {
        return;
      }
      assert.ok(Buffer.concat(parts).equals(bytes));
    });

    it('destroys the stream when a reader stops early', async () => {
      const key = newKey();
      await put(key, randomBytes(1_000_000));
      const blob = await driver.open(key);
      assert.ok(blob);
      for await (const chunk of blob.stream) {
        assert.ok(chunk.length > 0);
        break;
      }
      assert.ok(blob.stream.destroyed);
    });

    it('lists the right blobs after concurrent puts, deletes and listings', async () => {
      const work = Array.from({ length: 30 }, async (_, i) => {
        const key = newKey(`busy/${i % 3}`);
        await put(key, Buffer.from(key));
        if (i % 2) await driver.delete(key);
        await keys(driver.list('busy/'));
        return i % 2 ? undefined : key;
      });
      const remaining = (await Promise.all(work)).filter((key) => key !== undefined).sort();
      assert.deepEqual(await keys(driver.list('busy/')), remaining);
    });

    it('refuses keys outside the grammar, and changes nothing', async () => {
      const target = join(driver.stagingFolder, '..', '..', `target-${randomUUID()}`);
      await writeFile(target, 'unchanged');
      const outside = `../${target.split('/').at(-1)}`;
      const file = await stage(Buffer.from('hostile'));
      const hostile = [
        '',
        '/',
        '.',
        '..',
        outside,
        `test/../${outside}`,
        target,
        'a//b',
        'a/',
        '/a',
        'a/./b',
        'A',
        'a b',
        'a\0b',
        'a\nb',
        'a\\b',
        '..\\b',
        'é',
        '%2e%2e/a',
        'staging',
        'staging/x',
        'a'.repeat(5_000),
      ];
      for (const key of hostile) {
        const label = JSON.stringify(key).slice(0, 60);
        await assert.rejects(async () => driver.put(key, file), TypeError, label);
        await assert.rejects(async () => driver.replace(key, file), TypeError, label);
        await assert.rejects(async () => driver.open(key), TypeError, label);
        await assert.rejects(async () => driver.stat(key), TypeError, label);
        await assert.rejects(async () => driver.delete(key), TypeError, label);
        if (driver.copy) {
          await assert.rejects(async () => driver.copy?.(key, newKey()), TypeError, label);
          await assert.rejects(async () => driver.copy?.(newKey(), key), TypeError, label);
        }
        if (driver.localPath) assert.throws(() => driver.localPath?.(key), TypeError, label);
      }
      assert.equal(String(await readFile(target)), 'unchanged');
      await rm(target);
    });

    it('shows stored blobs to the next driver over the same backend', async () => {
      const key = newKey();
      const bytes = randomBytes(10_000);
      await put(key, bytes);
      const next = await harness.reopen();
      assert.ok((await content(next, key))?.equals(bytes));
      await next.close();
    });

    it('has the bytes at the local path, if it has local paths', async () => {
      const key = newKey();
      await put(key, Buffer.from('local'));
      const path = driver.localPath?.(key);
      if (path !== undefined) assert.equal(String(await readFile(path)), 'local');
    });

    it('rejects calls with a fired signal, and stores nothing', async () => {
      const key = newKey();
      const file = await stage(Buffer.from('late'));
      const signal = AbortSignal.abort();
      const cancelled = (error: unknown) => isAppError(error, 'cancelled');
      await assert.rejects(driver.put(key, file, signal), cancelled);
      await assert.rejects(driver.replace(key, file, signal), cancelled);
      await assert.rejects(driver.open(key, signal), cancelled);
      await assert.rejects(driver.stat(key, signal), cancelled);
      await assert.rejects(driver.delete(key, signal), cancelled);
      if (driver.copy) await assert.rejects(driver.copy(key, newKey(), signal), cancelled);
      await assert.rejects(keys(driver.list('', signal)), cancelled);
      await assert.rejects(driver.check(signal), cancelled);
      assert.equal(await driver.stat(key), undefined);
    });

    it('fails a stream when its signal fires', async () => {
      const key = newKey();
      await put(key, randomBytes(5_000_000));
      const controller = new AbortController();
      const blob = await driver.open(key, controller.signal);
      assert.ok(blob);
      await assert.rejects(
        async () => {
          for await (const _chunk of blob.stream) controller.abort();
        },
        (error: unknown) => isAppError(error, 'cancelled'),
      );
    });

    it('passes its check, which stores nothing', async () => {
      const before = await keys(driver.list(''));
      await driver.check();
      assert.deepEqual(await keys(driver.list('')), before);
    });
  });
}

async function keys(stats: AsyncIterable<BlobStat>): Promise<string[]> {
  const list: string[] = [];
  for await (const { key } of stats) list.push(key);
  return list.sort();
}

async function content(driver: BlobDriver, key: string): Promise<Buffer | undefined> {
  const blob: { stream: Readable } | undefined = await driver.open(key);
  return blob && buffer(blob.stream);
}
