/** One DER element around its contents, for tests that build messages which the encoder does not write. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  if (length < 0x100) return Buffer.concat([Buffer.from([tag, 0x81, length]), content]);
  if (length < 0x10000) return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content]);
  return Buffer.concat([
    Buffer.from([tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]),
    content,
  ]);
}

/** The elements inside an element that is right DER, headers included. */
export function stripElement(der: Buffer | undefined): Buffer[] {
  if (der === undefined) throw new RangeError("there is no such element");
  const elements: Buffer[] = [];
  for (let at = headerLength(der, 0); at < der.length; ) {
    const end = at + headerLength(der, at) + contentLength(der, at);
    elements.push(der.subarray(at, end));
    at = end;
  }
  return elements;
}

function headerLength(der: Buffer, at: number): number {
  const first = der.readUInt8(at + 1);
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function contentLength(der: Buffer, at: number): number {
  const first = der.readUInt8(at + 1);
  return first < 0x80 ? first : der.readUIntBE(at + 2, first & 0x7f);
}
