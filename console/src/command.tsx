// A command line to take to a terminal.
import {useRef, useState} from 'preact/hooks';

export function Command({text, label = 'Copy as CLI'}: {text: string; label?: string}) {
  const [said, setSaid] = useState('');
  const shown = useRef<HTMLElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      // No permission: the text is selected instead, ready for Ctrl-C.
      if (shown.current) getSelection()?.selectAllChildren(shown.current);
      setSaid('Selected');
    }
    setTimeout(() => setSaid(''), 2000);
  };
  return (
    <div class="command">
      <code ref={shown}>{text}</code>
      <button type="button" onClick={() => void copy()}>{said || label}</button>
      <span class="hidden" role="status">{said}</span>
    </div>
  );
}
