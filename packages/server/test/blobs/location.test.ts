import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeLocation, parseS3Location } from '../../src/blobs/location.ts';

const DEFAULTS = { kind: 's3', prefix: '', endpoint: undefined, region: undefined, encryption: undefined };

it('reads a bucket with and without a prefix', () => {
  assert.deepEqual(parseS3Location('s3://pictures'), { ...DEFAULTS, bucket: 'pictures', style: 'virtual' });
  assert.deepEqual(parseS3Location('s3://my.pictures/a/B_1.x/'), {
    ...DEFAULTS,
    bucket: 'my.pictures',
    prefix: 'a/B_1.x',
    style: 'virtual',
  });
});

it('reads all parameters', () => {
  const text =
    's3://pictures/v?endpoint=https://s3.example:9000/&region=eu-1&style=virtual' +
    '&sse=aws:kms&kms=arn:aws:kms:eu-1:1:key/2';
  assert.deepEqual(parseS3Location(text), {
    kind: 's3',
    bucket: 'pictures',
    prefix: 'v',
    endpoint: 'https://s3.example:9000',
    region: 'eu-1',
    style: 'virtual',
    encryption: { algorithm: 'aws:kms', key: 'arn:aws:kms:eu-1:1:key/2' },
  });
});

it('puts the bucket into the path of URLs by default, if there is an endpoint', () => {
  const location = parseS3Location('s3://pictures?endpoint=http://localhost:9000&sse=AES256');
  assert.ok(!('problem' in location));
  assert.equal(location.style, 'path');
  assert.deepEqual(location.encryption, { algorithm: 'AES256', key: undefined });
});

it('names the problem of a wrong location, and never a credential', () => {
  for (const [text, problem] of [
    ['s3://', /needs a bucket/],
    ['s3:///prefix', /needs a bucket/],
    ['s3://UPPER', /"UPPER" is not a bucket/],
    ['s3://ab', /"ab" is not a bucket/],
    ['s3://key:s3cr3t@pictures', /credentials come from the environment/],
    ['s3://pictures:9000', /\?endpoint=URL/],
    ['s3://pictures#x', /\?endpoint=URL/],
    ['s3://pictures/a//b', /a prefix has/],
    ['s3://pictures/a/../b%2e', /a prefix has/],
    ['s3://pictures/a/%2e%2e%2fb', /a prefix has/],
    ['s3://pictures/é', /a prefix has/],
    [`s3://pictures/${'a'.repeat(257)}`, /a prefix has up to 256/],
    ['s3://pictures?secret=s3cr3t', /the parameter "secret" is not one of endpoint, region, style, sse, kms/],
    ['s3://pictures?region=a&region=b', /region is there twice/],
    ['s3://pictures?region=', /region is empty/],
    ['s3://pictures?region=a%20b', /is not a region/],
    ['s3://pictures?endpoint=localhost:9000', /endpoint must be/],
    ['s3://pictures?endpoint=http://a:s3cr3t@b', /endpoint must be/],
    ['s3://pictures?endpoint=http://a/path', /endpoint must be/],
    ['s3://pictures?style=other', /style must be one of path, virtual/],
    ['s3://pictures?sse=none', /sse must be one of AES256, aws:kms, aws:kms:dsse/],
    ['s3://pictures?kms=key', /kms needs sse=aws:kms/],
    ['s3://pictures?sse=AES256&kms=key', /kms needs sse=aws:kms/],
  ] as const) {
    const location = parseS3Location(text);
    assert.ok('problem' in location, text);
    assert.match(location.problem, problem, text);
    assert.doesNotMatch(location.problem, /s3cr3t/, text);
  }
});

it('describes a location without its parameters', () => {
  const location = parseS3Location('s3://pictures/a?endpoint=http://localhost:9000&sse=aws:kms&kms=key');
  assert.ok(!('problem' in location));
  assert.equal(describeLocation(location), 's3://pictures/a at http://localhost:9000');
  assert.equal(describeLocation({ ...location, prefix: '', endpoint: undefined }), 's3://pictures');
  assert.equal(describeLocation({ kind: 'file', folder: '/blobs' }), '/blobs');
});
