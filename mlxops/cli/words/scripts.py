"""The scripts that make a shell ask mlxops for completions."""

from __future__ import annotations

BASH = """\
%(function)s() {
    local IFS=$'\\n' type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(variable)s=bash_complete \\
        "$1" 2>/dev/null)
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -o nosort -F %(function)s %(program)s 2>/dev/null ||
    complete -F %(function)s %(program)s
"""
ZSH = """\
#compdef %(program)s
%(function)s() {
    local -a response plain described open
    local type key descr
    (( $+commands[%(program)s] )) || return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(variable)s=zsh_complete %(program)s 2>/dev/null)}")
    for type key descr in ${response}; do
        case $type in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $key == *= ]]; then open+=("$key")
                elif [[ $descr == _ ]]; then plain+=("$key")
                else described+=("$key:$descr")
                fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#open )) && compadd -U -S '' -V unsorted -a open
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(function)s "$@"
else
    compdef %(function)s %(program)s
fi
"""
FISH = """\
function %(function)s
    env %(variable)s=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) \\
        %(program)s 2>/dev/null | while read --local --delimiter , type value
        switch $type
            case dir
                __fish_complete_directories $value
            case file
                __fish_complete_path $value
            case plain
                echo $value
        end
    end
end
complete --no-files --command %(program)s --arguments "(%(function)s)"
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str, program: str) -> str:
    """The completion script of a program for bash, zsh or fish."""
    variable = f"_{program.upper()}_COMPLETE"
    names = {"function": f"_{program}_completion", "program": program, "variable": variable}
    return SCRIPTS[shell] % names
