/** A struct that a kernel declares and TypeScript writes by the names of its fields. */
export interface StructLayout {
  readonly bytes: number;
  /** Bytes from the beginning of the struct to a field. @throws Error if the kernel declares no such field */
  offset(field: string): number;
  /**
   * Writes these fields; all others, and those that are undefined, keep their values.
   * @param views of the memory, by the types of fields
   * @param address of the struct, in bytes
   * @throws Error if the kernel declares no such field
   */
  write(
    views: { u32: Uint32Array; f32?: Float32Array; f64?: Float64Array },
    address: number,
    values: Record<string, number | undefined>,
  ): void;
  /** The struct in a buffer of its own, for fields of 4 bytes. @throws Error unless every field has a value */
  pack(values: Record<string, number>): Uint32Array<ArrayBuffer>;
}

/**
 * @param text of the fields as in WGSL, 'position:u32,eps:f32' (u32 may be left out); u64 are addresses of 64-bit
 * memory. Each stands for a word of 4 bytes; padding, and words that continue a field, are empty
 */
export function structLayout(text: string): StructLayout {
  const words = text.split(',').map((word) => word.split(':'));
  const find = (field: string): number => {
    const at = words.findIndex(([name]) => name === field);
    if (at < 0) throw new Error(`no ${field} in ${text}`);
    return at;
  };
  const write: StructLayout['write'] = (views, address, values) => {
    for (const field in values) {
      const at = find(field);
      const value = values[field];
      if (value === undefined) continue;
      const [, type = 'u32'] = words[at];
      const view = views[(type === 'u64' ? 'u32' : type) as 'u32'];
      const index = (address + 4 * at) / view.BYTES_PER_ELEMENT;
      view[index] = value; // of an address its low word, since the view takes it modulo 2^32
      if (type === 'u64') view[index + 1] = value / 2 ** 32;
    }
  };
  return {
    bytes: 4 * words.length,
    offset: (field) => 4 * find(field),
    write,
    pack(values) {
      const u32 = new Uint32Array(words.length);
      write({ u32, f32: new Float32Array(u32.buffer) }, 0, values);
      for (const [field] of words) if (!(field in values)) throw new Error(`no value of ${field}`);
      return u32;
    },
  };
}
