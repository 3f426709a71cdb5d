import { expect, it } from 'vitest';
import { toAbsoluteUrl, withoutSignature } from './url_source';

const AT = 'https://host.example/a.gguf';

it.each([
  [
    'S3',
    'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=20261128T090000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t&X-Amz-Signature=aa11',
  ],
  ['S3, the old form', 'AWSAccessKeyId=A&Expires=1795860000&Signature=aa%3D'],
  [
    'Google',
    'X-Goog-Algorithm=GOOG4&X-Goog-Credential=a&X-Goog-Date=2&X-Goog-Expires=900&X-Goog-SignedHeaders=host&X-Goog-Signature=aa',
  ],
  ['Google, the old form', 'GoogleAccessId=a&Expires=1&Signature=b'],
  ['CloudFront', 'Expires=1795860000&Signature=aa~b&Key-Pair-Id=K1&Policy=p'],
  ['Azure', 'sv=2024-08-04&st=2026&se=2026&sr=b&sp=r&spr=https&skoid=1&sktid=2&skt=3&ske=4&sks=b&skv=5&sig=aa%3D'],
  ['Alibaba', 'OSSAccessKeyId=a&Expires=1&Signature=b&security-token=c'],
  ['Tencent', 'q-sign-algorithm=sha1&q-ak=a&q-sign-time=1&q-signature=b'],
  ['a token', 'token=abc'],
])('the signature of %s is left out', (_, query) => {
  expect(withoutSignature(`${AT}?${query}`)).toBe(AT);
  expect(withoutSignature(`${AT}?version=2&${query}&name=b`)).toBe(`${AT}?version=2&name=b`);
});

it.each([AT, `${AT}?version=1`, `${AT}?download=true&rev=a%20b`, 'models/own.gguf', 'a?b?c', ''])(
  '%s stays',
  (address) => expect(withoutSignature(address)).toBe(address),
);

const SCHEMES = [
  'https://host',
  'HTTP://host',
  'capacitor://localhost',
  'tauri://localhost',
  'app://local',
  'ionic://localhost',
  'chrome-extension://abc',
  'moz-extension://abc',
  'safari-web-extension://abc',
  'file://',
];
it.each(SCHEMES)('%s/… is an address', (scheme) =>
  expect(toAbsoluteUrl(`${scheme}/a.gguf`)).toBe(`${scheme.toLowerCase()}/a.gguf`),
);
it.each(['Org/Repo:Q4_0', 'a.gguf', 'hf.co/Org/Repo', 'model:latest', 'c:\\a.gguf', ''])('%s is none', (text) =>
  expect(toAbsoluteUrl(text)).toBeUndefined(),
);
