/** A unikernel's image as far as albatrossd looks into it: an ELF file with Solo5's manifest of the devices in a note. */

/** Names, as the unikernel knows its devices. */
export interface Devices {
  readonly net: readonly string[];
  readonly block: readonly string[];
}

const ELF_MAGIC = Buffer.from("\x7fELF", "latin1");
/** Of 64 bits, little-endian, an executable for x86-64: what it begins with. */
const ELF_IDENT = Buffer.from("7f454c4602010100000000000000000002003e0001000000", "hex");
const ELF_HEADER_BYTES = 64;
/** An image cut to so many bytes up to its header's kills albatrossd 2.7.2. */
const FATAL_FROM_BYTES = 15;
/** Solo5's mft_abi.h: type "MFT1" and name of the note, both padded, then the version and the number of entries. */
const NOTE = Buffer.from("MFT1Solo5\0\0\0\0\0\0\0\x01\0\0\0", "latin1");
const ENTRY_BYTES = 104;
const ENTRY_NAME_BYTES = 68;
const BLOCK_DEVICE = 1;
const NET_DEVICE = 2;
/** The manifest's first entry is no device. */
const RESERVED = 0x4000_0000;

/** An image of `bytes` or as many as it needs: the same bytes for the same text and devices. */
export function simulatedImage(text: string, { net, block }: Devices, bytes = 0): Buffer {
  const entries = [
    entryOf("", RESERVED),
    ...block.map((name) => entryOf(name, BLOCK_DEVICE)),
    ...net.map((name) => entryOf(name, NET_DEVICE)),
  ];
  const count = Buffer.alloc(4);
  count.writeUInt32LE(entries.length);
  const header = Buffer.alloc(ELF_HEADER_BYTES);
  ELF_IDENT.copy(header);
  const image = Buffer.concat([header, NOTE, count, ...entries, Buffer.from(text)]);
  return image.length >= bytes ? image : Buffer.concat([image], bytes);
}

/** What albatrossd finds in an image: the devices it needs, that it is no unikernel's, or its own end. */
export function inspectImage(image: Buffer): Devices | "no ELF" | "fatal" {
  if (image.length >= FATAL_FROM_BYTES && image.length < ELF_HEADER_BYTES) return "fatal";
  const note = image.indexOf(NOTE);
  if (!image.subarray(0, ELF_MAGIC.length).equals(ELF_MAGIC) || note < 0) return "no ELF";
  const net: string[] = [];
  const block: string[] = [];
  let at = note + NOTE.length;
  const end = at + 4 + image.readUInt32LE(at) * ENTRY_BYTES;
  for (at += 4; at < Math.min(end, image.length - ENTRY_BYTES); at += ENTRY_BYTES) {
    const name = image.toString("utf8", at, at + ENTRY_NAME_BYTES).replace(/\0.*$/s, "");
    const type = image.readUInt32LE(at + ENTRY_NAME_BYTES);
    if (type === NET_DEVICE) net.push(name);
    if (type === BLOCK_DEVICE) block.push(name);
  }
  return { net, block };
}

function entryOf(name: string, type: number): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES);
  entry.write(name, 0, ENTRY_NAME_BYTES - 1);
  entry.writeUInt32LE(type, ENTRY_NAME_BYTES);
  return entry;
}
