// half2 — two halves of a word by integer operations: subnormals keep their values on every device. Infinities and NaN
// become large numbers.
fn half2(bits: u32) -> vec2<f32> {
  let h = vec2<u32>(bits & 0xffffu, bits >> 16u);
  let exponent = (h >> vec2<u32>(10u)) & vec2<u32>(31u);
  let fraction = (h & vec2<u32>(1023u)) | select(vec2<u32>(0u), vec2<u32>(1024u), exponent > vec2<u32>(0u));
  let power = bitcast<vec2<f32>>((max(exponent, vec2<u32>(1u)) + vec2<u32>(102u)) << vec2<u32>(23u)); // 2^(e - 25)
  return vec2<f32>(fraction) * power * select(vec2<f32>(1.0), vec2<f32>(-1.0), h >= vec2<u32>(0x8000u));
}
