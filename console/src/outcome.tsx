// An outcome by sign and word; colour only repeats it.
export function OutcomeMark({outcome}: {outcome: string}) {
  if (outcome === 'allow') return <span class="outcome is-allow"><span aria-hidden="true">✓</span> Allowed</span>;
  if (outcome === 'deny') return <span class="outcome is-deny"><span aria-hidden="true">✗</span> Denied</span>;
  return <span class="outcome is-other"><span aria-hidden="true">•</span> Event</span>;
}
