"""Tab completion of commands and of their options, which Hydra knows: lynx-pose --completion bash."""

# Asks Hydra as if the command were a program of its own; bash hands over words that it has split at =.
BASH = r"""_lynx_pose() {
    local line="${COMP_LINE:0:COMP_POINT}" word command rest candidate
    word="${line##* }"
    if (( COMP_CWORD == 1 )); then
        COMPREPLY=( $(compgen -W "COMMANDS" -- "$word") )
        return
    fi
    read -r _ command rest <<< "$line"
    [[ "$line" == *" " ]] && rest="$rest "
    local options=$(COMP_LINE="lynx-pose $rest" "${COMP_WORDS[0]}" "$command" -sc query=bash 2> /dev/null)
    COMPREPLY=( $(compgen -W "$options" -- "$word") )
    if [[ "$COMP_WORDBREAKS" == *"="* && "$word" == *"="* ]]; then
        for candidate in "${!COMPREPLY[@]}"; do
            COMPREPLY[$candidate]="${COMPREPLY[$candidate]#"${word%=*}="}"
        done
    fi
}
complete -o nospace -o default -F _lynx_pose lynx-pose
"""
ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n" + BASH
FISH = r"""function _lynx_pose
    set -l words (commandline -cpo)
    if test (count $words) -eq 1
        string split " " "COMMANDS"
        return
    end
    set -lx COMP_LINE "lynx-pose "(string join " " $words[3..-1] (commandline -ct))
    $words[1] $words[2] -sc query=fish 2> /dev/null
end
complete -c lynx-pose -x -a "(_lynx_pose)"
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion_script(shell: str, commands: list[str]) -> str | None:
    """Return what a shell has to run to complete `lynx-pose`; None for shells that are not known.

    Args:
        shell: bash, zsh or fish.
        commands: that it has.
    """
    script = SCRIPTS.get(shell)
    return script and script.replace("COMMANDS", " ".join(commands))
