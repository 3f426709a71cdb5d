// main — a dispatch over two parts of a matrix, each in a format of its own: after the first `split` workgroups begin those of the second
// No barrier stands in a branch: some compilers do not see that all invocations of a workgroup go the same way.
override split: u32;

@compute @workgroup_size(group_size)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let group = wid.y * grid.x + wid.x;
  var total = array<vec4<f32>, VALUES>();
  if (group < split) { multiply(&total, group, lid); } else { multiply_2(&total, group - split, lid); }
  group_sums(&total, lid);
  if (group < split) { write_rows(group, lid); } else { write_rows_2(group - split, lid); }
}
